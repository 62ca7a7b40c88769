//! Direct mode's side of the contract: a receiver on the target node takes the image from the
//! transfer Job, and serves it to that node's runtime on loopback. `ms2m` makes what both need for
//! one migration, and hands it to each as files of one Secret.

/// The receiver's name in its certificate. Its address is known otherwise, so nobody resolves this;
/// as each migration has an authority of its own, one name does for all.
pub const SERVER_NAME: &str = "receiver.ms2m.internal";

/// File with the authority that signed both certificates, PEM.
pub const AUTHORITY: &str = "ca.crt";
/// File with the receiver's certificate, PEM.
pub const SERVER_CERTIFICATE: &str = "server.crt";
/// File with its key, PEM.
pub const SERVER_KEY: &str = "server.key";
/// File with the sender's certificate, PEM.
pub const CLIENT_CERTIFICATE: &str = "client.crt";
/// File with its key, PEM.
pub const CLIENT_KEY: &str = "client.key";
/// File with the token that the sender shows besides.
pub const TOKEN: &str = "token";

/// What the receiver's container mounts of the Secret.
pub const RECEIVER_FILES: [&str; 4] = [AUTHORITY, SERVER_CERTIFICATE, SERVER_KEY, TOKEN];
/// What the Job's container mounts of it.
pub const SENDER_FILES: [&str; 4] = [AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, TOKEN];

/// Port on the target node's loopback that its runtime pulls from, unless another one is asked for.
pub const DEFAULT_PORT: u16 = 5351;

/// Port on the target node's address that the Job pushes to.
#[must_use]
pub const fn push_port(port: u16) -> u16 {
    port.saturating_add(1)
}
