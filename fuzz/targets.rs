//! What is fuzzed: every reader of bytes that others have written, and what has to hold whatever they
//! are. Each takes any bytes and must neither panic nor take long. Used by the binaries of cargo-fuzz
//! in `fuzz_targets/`, and by `transfer/tests/fuzz` on the stable toolchain.

use std::io::{self, Read};

use bytes::Bytes;
use ms2m_transfer::archive::{self, Sink};
use ms2m_transfer::checkpoint;
use ms2m_transfer::metadata::Metadata;
use ms2m_transfer::node::{self as a_node, NodeReport};
use ms2m_transfer::report::TERMINATION_MESSAGE_LIMIT;
use ms2m_transfer::{Event, Report, reference};

/// A tar's record, bytes.
const RECORD: usize = 512;

/// What takes any bytes.
pub(crate) type Target = fn(&[u8]);

/// All of them by name.
pub(crate) const ALL: &[(&str, Target)] = &[
    ("archive", archive),
    ("images", images),
    ("metadata", metadata),
    ("reference", reference),
    ("node", node),
    ("words", words),
];

/// Checkpoint archives: one that passes has passed byte for byte, and can be looked into without a
/// panic.
pub(crate) fn archive(data: &[u8]) {
    scan(data);
    scan(&with_checksums(data));
}

fn scan(data: &[u8]) {
    let block = 1 + data.first().map_or(0, |byte| usize::from(*byte)) * 16;
    let mut visitor = Everything(0);
    if let Ok((contents, blocks)) = archive::scan(data, block, Blocks(Vec::new()), &mut visitor) {
        assert!(blocks.0.concat() == data, "the layer is not the archive");
        assert_eq!(contents.bytes, data.len() as u64);
        assert!(
            visitor.0 <= data.len() as u64,
            "more was read than there is"
        );
        let _ = Metadata::read(&contents);
    }
    let _ = checkpoint::inspect(data);
}

/// Without it nearly every change of a header would end at its checksum.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for record in data.chunks_exact_mut(RECORD) {
        if &record[257..262] == b"ustar" {
            record[148..156].fill(b' ');
            let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
            record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    data
}

struct Blocks(Vec<Bytes>);

impl Sink for Blocks {
    fn take(&mut self, block: Bytes) -> io::Result<()> {
        assert!(
            !block.is_empty(),
            "an empty block was promised never to come"
        );
        self.0.push(block);
        Ok(())
    }
}

/// Reads some of every entry.
struct Everything(u64);

impl archive::Visitor for Everything {
    fn visit(&mut self, _: &[u8], size: u64, data: &mut dyn Read) -> io::Result<()> {
        self.0 += io::copy(&mut data.take(size / 2), &mut io::sink())?;
        Ok(())
    }
}

/// CRIU's images in an archive that is otherwise as it should be, with 254 between them. Each begins
/// with a number that stands for its name.
pub(crate) fn images(data: &[u8]) {
    const NAMES: [(&str, u32); 6] = [
        ("checkpoint/pstree.img", 0x5027_3030),
        ("checkpoint/core-1.img", 0x5505_3847),
        ("checkpoint/ids-1.img", 0x5443_2030),
        ("checkpoint/fdinfo-2.img", 0x5621_3732),
        ("checkpoint/files.img", 0x5630_3138),
        ("checkpoint/mountpoints-9.img", 0x5556_3928),
    ];
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "config.dump", b"{}");
    append(&mut tar, "spec.dump", b"{}");
    append(&mut tar, "checkpoint/pages-1.img", b"memory");
    for part in data.split(|byte| *byte == 0xfe) {
        let Some((first, rest)) = part.split_first() else {
            continue;
        };
        let (name, magic) = NAMES[usize::from(*first) % NAMES.len()];
        let head = [0x5456_4319_u32.to_le_bytes(), magic.to_le_bytes()].concat();
        append(&mut tar, name, &[&head, rest].concat());
    }
    let tar = tar.into_inner().expect("memory can be written");
    if let Ok(found) = checkpoint::inspect(&tar[..]) {
        serde_json::to_string(&found).expect("an inspection can be shown");
    }
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, name, data)
        .expect("memory can be written");
}

/// `config.dump` and `spec.dump`, with a zero byte between them.
pub(crate) fn metadata(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let mut half = || halves.next().unwrap_or_default().to_vec();
    let contents = archive::Contents {
        config_dump: half(),
        spec_dump: half(),
        bytes: 0,
    };
    if let Ok(metadata) = Metadata::read(&contents) {
        assert_ne!(
            metadata.pod.as_deref(),
            Some(""),
            "nothing is absent, not empty"
        );
    }
}

/// Image references: what is taken is what oci-client makes of it, save that it knows no addresses of
/// IPv6 for hosts, which the specification's grammar has.
pub(crate) fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for ours in [reference::parse(text), reference::parse_any(text)] {
        let Ok(ours) = ours else { continue };
        if text.starts_with('[') {
            return;
        }
        let library = oci_client::Reference::try_from(text);
        assert_eq!(Ok(ours), library, "{text:?}");
    }
}

/// Files of a node, with a zero byte between them: whatever they hold, what is told of them fits into a
/// termination message and can be read there.
pub(crate) fn node(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut report = NodeReport::default();
    let mut tables = Vec::new();
    for file in text.split('\0') {
        let options = a_node::CriuOptions::parse(file);
        report.options.default = Some(options);
        match a_node::parse(file) {
            Ok(table) => tables.push(table),
            Err(why) => report.not_read("/etc/crio/crio.conf", &why),
        }
    }
    report.crio = Some(a_node::Crio::of(&tables));
    report.containerd = Some(a_node::Containerd::of(&tables));
    report.criu = Some(a_node::Criu {
        path: "/usr/sbin/criu".to_owned(),
        version: a_node::version(data),
    });
    let message = report.to_termination_message();
    assert!(message.len() < TERMINATION_MESSAGE_LIMIT);
    let again = NodeReport::parse(&message).expect("a report can be read");
    assert_eq!(again, report);
}

/// Lines of a container's log and termination messages: what was understood can be said again.
pub(crate) fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Event::parse(text) {
        None | Some(Event::Unknown) => {}
        Some(event) => assert_eq!(Event::parse(&event.to_line()), Some(event)),
    }
    if let Ok(report) = Report::parse(text) {
        let again = report.to_termination_message();
        assert!(again.len() < TERMINATION_MESSAGE_LIMIT || matches!(report, Report::Pushed(_)));
        Report::parse(&again).expect("a report can be read");
    }
}
