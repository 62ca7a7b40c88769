//! The binary alone in an image: no libraries, no certificate authorities, no devices, nothing but
//! itself, its archive, `/proc` and the files that the kubelet writes.

use std::path::Path;
use std::process::{Command, Output};

use ms2m_transfer::{FailureCode, Report};

use crate::support::archive;
use crate::support::registry::Registry;

#[test]
fn it_needs_nothing_but_itself() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path();
    for name in ["etc", "proc", "checkpoints"] {
        std::fs::create_dir(root.join(name)).expect("makes a directory");
    }
    let log = root.join("termination-log");
    std::fs::write(&log, "").expect("writes");
    std::fs::write(root.join("etc/hosts"), "127.0.0.1 registry.test\n").expect("writes");
    std::fs::copy(
        env!("CARGO_BIN_EXE_ms2m-transfer"),
        root.join("ms2m-transfer"),
    )
    .expect("copies the binary");
    let path = archive::write(&root.join("checkpoints"), 4096);
    let report = || {
        let message = std::fs::read_to_string(&log).expect("the log is there");
        Report::parse(&message).expect("a report")
    };

    // Nobody listens on this port, so it is tried again and again.
    let output = run(root, "1", "--keep-archive");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    let Report::Failed(failed) = report() else {
        panic!("{stderr}");
    };
    assert_eq!(failed.code, FailureCode::RegistryFailed);

    let port = registry.address().rsplit(':').next().expect("a port");
    let output = run(root, port, "--compression=gzip");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(matches!(report(), Report::Pushed(_)));
    assert!(!path.exists(), "a pushed archive is deleted");
}

/// Runs the binary with `root` for its root directory.
fn run(root: &Path, port: &str, flag: &str) -> Output {
    // A mount namespace takes the mount of /proc away again; a user namespace gives the right to
    // make one to whoever is not root.
    let script = r#"mount --rbind /proc "$1/proc" && exec /usr/sbin/chroot "$1" /ms2m-transfer \
        --archive "/checkpoints/$2" --image "registry.test:$3/cp:1" --plain-http \
        --termination-log /termination-log "$4""#;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--mount", "/bin/sh", "-c", script, "sh"])
        .arg(root)
        .args([archive::NAME, port, flag])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .expect("unshare runs; it is in Debian's package util-linux")
}
