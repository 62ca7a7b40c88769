//! Where other people's programs are, free ports for them, and their logs.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::Error;

/// The first of `candidates` that exists.
pub(super) fn find(
    program: &'static str,
    package: &'static str,
    candidates: &[&str],
) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        // Those of a known place come first: what is on the path may be a wrapper that wants to
        // be root, as Debian's rabbitmq-server is.
        .fold(
            candidates.iter().map(PathBuf::from).collect(),
            |mut all: Vec<_>, one| {
                all.push(one);
                all
            },
        )
        .into_iter()
        .find(|path| path.is_file())
        .ok_or(Error::Missing { program, package })
}

/// A port of `address` that nobody listens on. Given up before its user takes it, which is safe
/// enough on an address that no other program uses.
pub(super) fn free_port(address: IpAddr) -> io::Result<u16> {
    Ok(TcpListener::bind((address, 0))?.local_addr()?.port())
}

/// Ports that nobody uses on any address, for programs that insist on 127.0.0.1 or on all of
/// them. `own` is an address of this sandbox alone.
///
/// They lie below the ports that the kernel gives to outgoing connections, any of which would be
/// in the way, also when a program is started again after a while. No two sandboxes try the same
/// ones, since each counts from the second part of its address, which is no other's.
pub(super) fn machine_wide_ports<const N: usize>(own: IpAddr) -> io::Result<[u16; N]> {
    const LOWEST: u16 = 10_000;
    const HIGHEST: u16 = 32_000;
    let IpAddr::V4(own) = own else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    let first = LOWEST + u16::from(own.octets()[1]);
    let mut ports = (first..HIGHEST)
        .step_by(256)
        .filter(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok());
    let mut found = [0; N];
    for port in &mut found {
        *port = ports.next().ok_or(io::ErrorKind::AddrInUse)?;
    }
    Ok(found)
}

/// Lets both streams of a command go to a file, which is appended to.
pub(super) fn log_to(command: &mut Command, log: &Path) -> io::Result<()> {
    let file = File::options().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    Ok(())
}

/// The last lines of a log, for an error message.
pub(super) fn log_tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_on_any_address_is_passed_over() {
        // No sandbox has this part of the network.
        let own = IpAddr::from([127, 250, 0, 1]);
        let [first] = machine_wide_ports(own).expect("one is free");
        let _taken = TcpListener::bind(("127.0.0.9", first)).expect("is free");
        let [second, third] = machine_wide_ports(own).expect("two are free");
        assert_eq!([second - first, third - second], [256, 256]);
    }
}
