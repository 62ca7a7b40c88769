//! Who is connected to a service, as the kernel knows it. The broker's own list is some seconds
//! old, and says nothing of processes.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

/// The client's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address.
    pub(super) address: SocketAddrV4,
    /// The inode of its socket.
    pub(super) socket: u64,
}

/// The established connections to `service`.
pub(super) fn clients_of(service: SocketAddr) -> io::Result<Vec<Client>> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    Ok(table
        .lines()
        .filter_map(|line| client(line, service))
        .collect())
}

/// A line of proc_net(5)'s `tcp`, if it is that of a connection to `service`.
fn client(line: &str, service: SocketAddr) -> Option<Client> {
    const ESTABLISHED: &str = "01";
    let fields: Vec<_> = line.split_whitespace().collect();
    let (local, remote) = (address(fields.get(1)?)?, address(fields.get(2)?)?);
    let connected = *fields.get(3)? == ESTABLISHED && SocketAddr::V4(remote) == service;
    let client = Client {
        address: local,
        socket: fields.get(9)?.parse().ok()?,
    };
    connected.then_some(client)
}

/// `0100007F:1F90`: an address in the machine's own byte order, and a port.
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(ip), port))
}

/// The sockets, by inode, of a process and of all others in the session that it leads.
///
/// # Errors
/// When the processes cannot be listed. One that ends meanwhile has no sockets.
pub fn sockets_of(leader: i32) -> io::Result<HashSet<u64>> {
    let mut sockets = HashSet::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        if session(&process) == Some(leader) {
            sockets.extend(open_sockets(&process).unwrap_or_default());
        }
    }
    Ok(sockets)
}

/// The session of proc_pid_stat(5), the fourth field after the program's name, which ends with
/// the last parenthesis.
fn session(process: &Path) -> Option<i32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(3)?.parse().ok()
}

fn open_sockets(process: &Path) -> io::Result<Vec<u64>> {
    let inode = |target: &Path| {
        let text = target.to_str()?.strip_prefix("socket:[")?;
        text.strip_suffix(']')?.parse().ok()
    };
    let descriptors = fs::read_dir(process.join("fd"))?;
    Ok(descriptors
        .filter_map(|entry| inode(&fs::read_link(entry.ok()?.path()).ok()?))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let service = listener.local_addr().expect("is bound");
        assert_eq!(clients_of(service).expect("are listed"), []);
        let stream = TcpStream::connect(service).expect("somebody listens");
        let clients = clients_of(service).expect("are listed");
        let address = stream.local_addr().expect("is bound");
        assert_eq!(clients.len(), 1);
        assert_eq!(SocketAddr::V4(clients[0].address), address);
        let session = session(Path::new("/proc/self")).expect("this process is in one");
        let sockets = sockets_of(session).expect("are listed");
        assert!(sockets.contains(&clients[0].socket));
        drop(stream);
        assert_eq!(clients_of(service).expect("are listed"), []);
    }
}
