//! Gathers what CRIU's images tell while the archive passes. They come in any order, so what refers
//! to what is sorted out at the end. Holds a bounded number of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::archive::Visitor;

use super::criu::{
    CoreEntry, FdinfoEntry, FileEntry, InetSkEntry, MntEntry, PstreeEntry, TaskKobjIdsEntry,
};
use super::image::{Broken, Kind, messages};
use super::inspection::{Connection, Mount, Opened, OpenedKind, Process, Protocol, Sizes};

/// So many processes, descriptors, files and mounts each are kept; the rest is counted out in words.
const MOST: usize = 10_000;

/// So many processes are named of those that share a file.
const SHARERS_MOST: usize = 100;

/// Longest path or name that is kept, bytes: what the kernel lets a path have.
const NAME_MAX: usize = 4096;

/// What the images tell.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) sizes: Sizes,
    pub(super) processes: Vec<Process>,
    pub(super) files: Vec<Opened>,
    pub(super) connections: Vec<Connection>,
    pub(super) mounts: Vec<Mount>,
    pub(super) left_out: Vec<String>,
}

/// Sees the archive's entries.
#[derive(Debug, Default)]
pub(super) struct Collector {
    sizes: Sizes,
    tree: Vec<PstreeEntry>,
    /// Names by pid.
    names: BTreeMap<u32, String>,
    /// Descriptor tables by pid.
    tables: BTreeMap<u32, u32>,
    /// What descriptor tables refer to, by table.
    descriptors: BTreeSet<(u32, u32)>,
    files: Vec<FileEntry>,
    mounts: BTreeMap<String, Option<String>>,
    /// Of what there was too much.
    too_many: BTreeSet<&'static str>,
    /// The first thing that no CRIU writes.
    fault: Option<String>,
}

impl Visitor for Collector {
    fn visit(&mut self, name: &[u8], size: u64, data: &mut dyn Read) -> io::Result<()> {
        let name = String::from_utf8_lossy(name);
        self.count(&name, size);
        let Some(image) = name.strip_prefix("checkpoint/") else {
            return Ok(());
        };
        let Some(kind) = Kind::of(image) else {
            return Ok(());
        };
        match self.read(kind, number(image), data) {
            Ok(()) => Ok(()),
            Err(Broken::Io(error)) => Err(error),
            Err(Broken::Image(why)) => {
                self.fault
                    .get_or_insert_with(|| format!("its {name} {why}"));
                Ok(())
            }
        }
    }
}

/// The number in an image's name, 0 where there is none.
fn number(image: &str) -> u32 {
    image
        .trim_end_matches(".img")
        .rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or_default()
}

impl Collector {
    fn count(&mut self, name: &str, size: u64) {
        let sizes = &mut self.sizes;
        let part = match name.strip_prefix("checkpoint/") {
            Some(image) if image.starts_with("pages-") => &mut sizes.memory,
            Some(_) => &mut sizes.state,
            None if name == "rootfs-diff.tar" => &mut sizes.files,
            None if name.ends_with(".log") || name.contains("LogPath") => &mut sizes.logs,
            None => return,
        };
        // A hostile archive's entries may add up to more than there is.
        *part = part.saturating_add(size);
    }

    fn read(&mut self, kind: Kind, number: u32, image: &mut dyn Read) -> Result<(), Broken> {
        match kind {
            Kind::Pstree => messages(kind, image, |entry: PstreeEntry| {
                keep(&mut self.too_many, self.tree.len(), "processes", || {
                    self.tree.push(entry);
                })
            }),
            Kind::Core => messages(kind, image, |entry: CoreEntry| {
                // Only the first thread of a process has a name.
                let (Some(task), room) = (entry.tc, self.names.len()) else {
                    return true;
                };
                keep(&mut self.too_many, room, "processes", || {
                    self.names.insert(number, text(&task.comm));
                    if let Some(ids) = entry.ids {
                        self.tables.insert(number, ids.files_id);
                    }
                })
            }),
            Kind::Ids => messages(kind, image, |entry: TaskKobjIdsEntry| {
                keep(&mut self.too_many, self.tables.len(), "processes", || {
                    self.tables.insert(number, entry.files_id);
                })
            }),
            Kind::Fdinfo => messages(kind, image, |entry: FdinfoEntry| {
                let room = self.descriptors.len();
                keep(&mut self.too_many, room, "descriptors", || {
                    self.descriptors.insert((number, entry.id));
                })
            }),
            Kind::Files => messages(kind, image, |entry: FileEntry| {
                keep(&mut self.too_many, self.files.len(), "files", || {
                    self.files.push(short(entry));
                })
            }),
            Kind::Mountpoints => messages(kind, image, |entry: MntEntry| {
                keep(&mut self.too_many, self.mounts.len(), "mounts", || {
                    if entry.ext_mount {
                        let source = Some(text(&entry.source)).filter(|text| !text.is_empty());
                        self.mounts.insert(text(&entry.mountpoint), source);
                    }
                })
            }),
        }
    }

    /// Puts everything together.
    ///
    /// # Errors
    /// Says which image is none of CRIU's, and why.
    pub(super) fn finish(self) -> Result<Collected, String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let users = users(&self.tables, &self.descriptors);
        let pids = |file: &FileEntry| users.get(&file.id).cloned().unwrap_or_default();
        let mut files = Vec::new();
        let mut connections = Vec::new();
        for file in &self.files {
            match &file.isk {
                Some(socket) => connections.extend(connection(socket, pids(file))),
                None => files.push(opened(file, pids(file))),
            }
        }
        let names = &self.names;
        let processes = self.tree.iter().map(|entry| Process {
            pid: entry.pid,
            parent: entry.ppid,
            command: names.get(&entry.pid).cloned(),
            threads: entry.threads.len().max(1),
        });
        let mounts = self.mounts.into_iter();
        Ok(Collected {
            sizes: self.sizes,
            processes: processes.collect(),
            files,
            connections,
            mounts: mounts
                .map(|(path, source)| Mount { path, source })
                .collect(),
            left_out: self
                .too_many
                .iter()
                .map(|what| format!("there are more than {MOST} {what}"))
                .collect(),
        })
    }
}

/// Keeps something while there is room, and says whether to go on.
fn keep(
    too_many: &mut BTreeSet<&'static str>,
    kept: usize,
    what: &'static str,
    it: impl FnOnce(),
) -> bool {
    if kept >= MOST {
        too_many.insert(what);
        return false;
    }
    it();
    true
}

/// Which processes have a file open, by the file's ID; [`SHARERS_MOST`] of them at most.
fn users(
    tables: &BTreeMap<u32, u32>,
    descriptors: &BTreeSet<(u32, u32)>,
) -> BTreeMap<u32, Vec<u32>> {
    let mut sharers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (pid, table) in tables {
        sharers.entry(*table).or_default().push(*pid);
    }
    let mut users: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (table, file) in descriptors {
        let pids = sharers.get(table).map(Vec::as_slice).unwrap_or_default();
        let known = users.entry(*file).or_default();
        known.extend(pids.iter().take(SHARERS_MOST.saturating_sub(known.len())));
    }
    for pids in users.values_mut() {
        pids.sort_unstable();
        pids.dedup();
    }
    users
}

/// Without what would take much room and is not shown.
fn short(mut entry: FileEntry) -> FileEntry {
    let names = [
        entry.reg.as_mut().map(|file| &mut file.name),
        entry.usk.as_mut().map(|socket| &mut socket.name),
    ];
    for name in names.into_iter().flatten() {
        name.truncate(NAME_MAX);
        name.shrink_to_fit();
    }
    if let Some(socket) = &mut entry.isk {
        for address in [&mut socket.src_addr, &mut socket.dst_addr] {
            address.truncate(4);
            address.shrink_to_fit();
        }
    }
    entry
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_MAX)]).into_owned()
}

fn opened(file: &FileEntry, pids: Vec<u32>) -> Opened {
    // An abstract Unix socket's name begins with 0, which `ss` shows as @.
    let name = match (&file.reg, &file.usk) {
        (Some(file), _) => text(&file.name),
        (None, Some(socket)) => text(&socket.name).replace('\0', "@"),
        (None, None) => String::new(),
    };
    Opened {
        kind: kind(file.r#type),
        name: Some(name).filter(|name| !name.is_empty()),
        pids,
    }
}

fn kind(fd_type: i32) -> OpenedKind {
    match fd_type {
        1 | 16 => OpenedKind::File,
        2 | 3 => OpenedKind::Pipe,
        5 => OpenedKind::UnixSocket,
        6..=9 | 12 | 17 => OpenedKind::Event,
        10 | 13 => OpenedKind::OtherSocket,
        11 => OpenedKind::Terminal,
        18 => OpenedKind::Memfd,
        _ => OpenedKind::Other,
    }
}

/// Nothing where the addresses are none.
fn connection(socket: &InetSkEntry, pids: Vec<u32>) -> Option<Connection> {
    let local = address(&socket.src_addr, socket.src_port)?;
    let remote = address(&socket.dst_addr, socket.dst_port).filter(|_| socket.dst_port != 0);
    Some(Connection {
        protocol: match socket.proto {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            _ => Protocol::Other,
        },
        local,
        remote,
        state: state(socket.state),
        pids,
    })
}

/// The kernel keeps addresses in the order of the network, and CRIU takes its words as they are.
fn address(words: &[u32], port: u32) -> Option<SocketAddr> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let ip: IpAddr = match words.len() {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        4 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// The kernel's TCP states (include/net/tcp_states.h) as `ss` names them; UDP uses two of them.
fn state(number: u32) -> &'static str {
    match number {
        1 => "ESTAB",
        2 => "SYN-SENT",
        3 => "SYN-RECV",
        4 => "FIN-WAIT-1",
        5 => "FIN-WAIT-2",
        6 => "TIME-WAIT",
        7 => "UNCONN",
        8 => "CLOSE-WAIT",
        9 => "LAST-ACK",
        10 => "LISTEN",
        11 => "CLOSING",
        _ => "UNKNOWN",
    }
}
