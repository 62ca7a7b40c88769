//! The files that a private RabbitMQ is configured by. They hold a password, so only their owner
//! reads them.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::{Error, users};

/// Where a broker listens. Nothing of it changes while the broker exists, also over a restart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) address: IpAddr,
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

/// Writes them all into the broker's directory.
pub(super) fn write(dir: &Path, ports: &Ports, password: &str) -> Result<(), Error> {
    let Ports {
        address,
        amqp,
        management,
        ..
    } = ports;
    let configuration = format!(
        "listeners.tcp.1 = {address}:{amqp}\n\
         management.tcp.ip = {address}\n\
         management.tcp.port = {management}\n\
         default_user = {}\n\
         default_pass = {password}\n\
         default_user_tags.administrator = true\n\
         log.console = true\n\
         log.console.level = warning\n\
         log.file = false\n\
         disk_free_limit.absolute = 1MB\n",
        users::ADMIN,
    );
    private_file(&dir.join("rabbitmq.conf"), &configuration)?;
    private_file(&dir.join("enabled_plugins"), "[rabbitmq_management].\n")?;
    // The node's own name must mean this machine, whatever its hosts file says, or none.
    let names = "{host, {127,0,0,1}, [\"localhost\"]}.\n{lookup, [file, native]}.\n";
    private_file(&dir.join("inetrc"), names)?;
    private_file(&dir.join(".erlang.cookie"), &users::new_password())
}

fn private_file(path: &Path, content: &str) -> Result<(), Error> {
    let mut file = fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("write the broker's configuration"))?;
    file.write_all(content.as_bytes())
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .map_err(Error::io("write the broker's configuration"))
}
