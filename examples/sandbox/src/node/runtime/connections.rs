//! Whether a process has an open TCP connection, as CRIU would find.

use std::collections::HashSet;
use std::fs;

use rustix::process::Pid;

use super::container::Container;

/// The state of an open connection in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

impl Container {
    /// Whether its first process has an open TCP connection.
    pub(crate) fn has_connection(&self) -> bool {
        self.process.get().is_some_and(|it| connected(it.pid))
    }
}

fn connected(pid: Pid) -> bool {
    let pid = pid.as_raw_pid();
    let files = fs::read_dir(format!("/proc/{pid}/fd"));
    let links = files.into_iter().flatten().flatten();
    let sockets: HashSet<String> = links
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    ["tcp", "tcp6"].iter().any(|table| {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns.get(3) == Some(&ESTABLISHED)
                && columns.get(9).is_some_and(|inode| sockets.contains(*inode))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_connection_is_seen() {
        let own = Pid::from_raw(std::process::id().cast_signed()).expect("a process id");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        let one = std::net::TcpStream::connect(address).expect("it listens");
        assert!(connected(own));
        drop(one);
    }
}
