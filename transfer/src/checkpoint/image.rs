//! CRIU's image files: a magic number or two and then messages, each after its size. Little endian
//! throughout, since CRIU writes what is in memory and Kubernetes has no node that is not.
//!
//! Source: criu/include/magic.h and criu/protobuf.c of CRIU 4.

use std::io::{self, Read};

use prost::Message;

/// Heads every image but the inventory.
const COMMON: u32 = 0x5456_4319;

/// Longest message, bytes. A file's is its path and some numbers.
const MESSAGE_MAX: u32 = 1024 * 1024;

/// What an image is of, by the number that follows [`COMMON`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The process tree.
    Pstree,
    /// A thread; that of a process's first has its name.
    Core,
    /// Which descriptor table a process has.
    Ids,
    /// A descriptor table.
    Fdinfo,
    /// What descriptors refer to.
    Files,
    /// A mount namespace.
    Mountpoints,
}

impl Kind {
    /// The kind that an image has by its name, `checkpoint/` left out. The others are of no
    /// interest, or none of CRIU's.
    pub(super) fn of(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".img")?;
        let numbered = |prefix: &str| {
            stem.strip_prefix(prefix)
                .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        match stem {
            "pstree" => Some(Self::Pstree),
            "files" => Some(Self::Files),
            _ if numbered("core-") => Some(Self::Core),
            _ if numbered("ids-") => Some(Self::Ids),
            _ if numbered("fdinfo-") => Some(Self::Fdinfo),
            _ if numbered("mountpoints-") => Some(Self::Mountpoints),
            _ => None,
        }
    }

    fn magic(self) -> u32 {
        match self {
            Self::Pstree => 0x5027_3030,
            Self::Core => 0x5505_3847,
            Self::Ids => 0x5443_2030,
            Self::Fdinfo => 0x5621_3732,
            Self::Files => 0x5630_3138,
            Self::Mountpoints => 0x5556_3928,
        }
    }
}

/// Why an image was not read to its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// The archive could not be read.
    Io(io::Error),
    /// The image is not what its name says; completes "its checkpoint/x.img ".
    Image(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Hands every message of an image to `each`, which says whether it wants more.
pub(super) fn messages<M: Message + Default>(
    kind: Kind,
    mut image: impl Read,
    mut each: impl FnMut(M) -> bool,
) -> Result<(), Broken> {
    let mut head = [0; 8];
    let found = fill(&mut image, &mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if found < head.len() || word(0) != COMMON || word(4) != kind.magic() {
        return Err(Broken::Image("is no image of CRIU's".to_owned()));
    }
    let mut buffer = Vec::new();
    loop {
        let mut size = [0; 4];
        match fill(&mut image, &mut size)? {
            0 => return Ok(()),
            4 => {}
            _ => return Err(Broken::Image("is cut off".to_owned())),
        }
        let size = u32::from_le_bytes(size);
        if size > MESSAGE_MAX {
            return Err(Broken::Image(format!(
                "has a message of {size} bytes, more than CRIU writes"
            )));
        }
        buffer.clear();
        image.by_ref().take(size.into()).read_to_end(&mut buffer)?;
        if buffer.len() as u64 != u64::from(size) {
            return Err(Broken::Image("is cut off".to_owned()));
        }
        let message = M::decode(buffer.as_slice())
            .map_err(|error| Broken::Image(format!("cannot be decoded: {error}")))?;
        if !each(message) {
            return Ok(());
        }
    }
}

/// Reads until `out` is full or there is no more, and returns how much there was.
fn fill(image: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match image.read(&mut out[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::criu::PstreeEntry;
    use super::*;

    fn an_image(parts: &[&[u8]]) -> Vec<u8> {
        let head = [COMMON.to_le_bytes(), Kind::Pstree.magic().to_le_bytes()];
        [head.concat(), parts.concat()].concat()
    }

    fn read(image: &[u8]) -> Result<Vec<u32>, String> {
        let mut pids = Vec::new();
        let each = |entry: PstreeEntry| {
            pids.push(entry.pid);
            true
        };
        match messages(Kind::Pstree, image, each) {
            Ok(()) => Ok(pids),
            Err(Broken::Image(why)) => Err(why),
            Err(Broken::Io(error)) => panic!("memory can be read: {error}"),
        }
    }

    #[test]
    fn names_tell_kinds() {
        assert_eq!(Kind::of("pstree.img"), Some(Kind::Pstree));
        assert_eq!(Kind::of("core-12.img"), Some(Kind::Core));
        for other in ["core-a.img", "core-12", "pages-1.img", "snapshot.img"] {
            assert_eq!(Kind::of(other), None, "{other}");
        }
    }

    #[test]
    fn messages_follow_their_sizes() {
        let image = an_image(&[&[2, 0, 0, 0], &[0x08, 7], &[2, 0, 0, 0], &[0x08, 9]]);
        assert_eq!(read(&image), Ok(vec![7, 9]));
        assert_eq!(read(&an_image(&[])), Ok(vec![]));
    }

    #[test]
    fn what_is_cut_off_or_hostile_is_refused_before_it_is_held() {
        let whole = an_image(&[&[2, 0, 0, 0], &[0x08, 7]]);
        for end in 0..whole.len() {
            // Without its only message it is whole.
            assert_eq!(read(&whole[..end]).is_ok(), end == 8, "{end}");
        }
        let endless = an_image(&[&[255, 255, 255, 255], &[0x08, 7]]);
        assert!(read(&endless).is_err_and(|why| why.contains("4294967295")));
        let nonsense = an_image(&[&[1, 0, 0, 0], &[0xff]]);
        assert!(read(&nonsense).is_err_and(|why| why.contains("decoded")));
        let other = [COMMON.to_le_bytes(), Kind::Files.magic().to_le_bytes()].concat();
        assert!(read(&other).is_err_and(|why| why.contains("no image")));
    }
}
