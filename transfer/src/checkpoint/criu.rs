//! The messages of CRIU's images, as far as they are of interest: what is not here is passed over.
//! Names and numbers are those of CRIU 4's `images/*.proto`. Strings are bytes here: CRIU takes paths
//! and names as the kernel has them.

/// `pstree.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PstreeEntry {
    #[prost(uint32, tag = "1")]
    pub(super) pid: u32,
    /// 0 for the first process.
    #[prost(uint32, tag = "2")]
    pub(super) ppid: u32,
    #[prost(uint32, repeated, packed = "false", tag = "5")]
    pub(super) threads: Vec<u32>,
}

/// `core.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CoreEntry {
    #[prost(message, optional, tag = "3")]
    pub(super) tc: Option<TaskCoreEntry>,
    #[prost(message, optional, tag = "4")]
    pub(super) ids: Option<TaskKobjIdsEntry>,
}

/// Of a process, not of its other threads.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TaskCoreEntry {
    #[prost(bytes = "vec", tag = "6")]
    pub(super) comm: Vec<u8>,
}

/// Also the message of `ids-*.img`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TaskKobjIdsEntry {
    #[prost(uint32, tag = "2")]
    pub(super) files_id: u32,
}

/// `fdinfo.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FdinfoEntry {
    #[prost(uint32, tag = "1")]
    pub(super) id: u32,
    #[prost(uint32, tag = "4")]
    pub(super) fd: u32,
}

/// `fdinfo.proto`: what a descriptor refers to; `files.img` has all of them.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FileEntry {
    /// One of `fd_types`.
    #[prost(int32, tag = "1")]
    pub(super) r#type: i32,
    #[prost(uint32, tag = "2")]
    pub(super) id: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) reg: Option<RegFileEntry>,
    #[prost(message, optional, tag = "4")]
    pub(super) isk: Option<InetSkEntry>,
    #[prost(message, optional, tag = "16")]
    pub(super) usk: Option<UnixSkEntry>,
}

/// `regfile.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RegFileEntry {
    #[prost(bytes = "vec", tag = "6")]
    pub(super) name: Vec<u8>,
}

/// `sk-inet.proto`. Ports are numbers; addresses are as in the kernel's memory, one word or four.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct InetSkEntry {
    #[prost(uint32, tag = "5")]
    pub(super) proto: u32,
    #[prost(uint32, tag = "6")]
    pub(super) state: u32,
    #[prost(uint32, tag = "7")]
    pub(super) src_port: u32,
    #[prost(uint32, tag = "8")]
    pub(super) dst_port: u32,
    #[prost(uint32, repeated, packed = "false", tag = "11")]
    pub(super) src_addr: Vec<u32>,
    #[prost(uint32, repeated, packed = "false", tag = "12")]
    pub(super) dst_addr: Vec<u32>,
}

/// `sk-unix.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UnixSkEntry {
    /// An abstract name begins with 0 and may have others in it.
    #[prost(bytes = "vec", tag = "11")]
    pub(super) name: Vec<u8>,
}

/// `mnt.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MntEntry {
    #[prost(bytes = "vec", tag = "7")]
    pub(super) mountpoint: Vec<u8>,
    #[prost(bytes = "vec", tag = "8")]
    pub(super) source: Vec<u8>,
    /// Where it comes from outside, and has to be given at the restore.
    #[prost(bool, tag = "13")]
    pub(super) ext_mount: bool,
}
