//! Unit tests of what an archive has to look like; files are not involved.

use bytes::Bytes;

use super::*;

/// Smaller than the archives here.
const BLOCK: usize = 1000;

fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in entries {
        append(&mut builder, name, data);
    }
    builder.into_inner().expect("writes to memory")
}

/// Appends under any name; `Builder::append_data` refuses hostile ones.
fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, data: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(data.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    builder.append(&header, data).expect("writes to memory");
}

fn complete() -> Vec<u8> {
    tar_of(&[
        ("spec.dump", b"{}"),
        ("config.dump", b"{\"a\":1}"),
        ("checkpoint/pages-1.img", &[0; 4096]),
    ])
}

fn invalid(bytes: &[u8]) -> String {
    match scan(bytes, BLOCK, (), &mut ()) {
        Err(ScanError::Invalid(why)) => why,
        other => panic!("expected it to be invalid, got {other:?}"),
    }
}

#[test]
fn a_complete_archive_passes_byte_for_byte() {
    let bytes = complete();
    let (contents, blocks) =
        scan(&bytes[..], BLOCK, Vec::<Bytes>::new(), &mut ()).expect("it is complete");
    assert_eq!(blocks.concat(), bytes);
    assert_eq!(contents.bytes, bytes.len() as u64);
    assert_eq!(contents.config_dump, b"{\"a\":1}");
    assert_eq!(contents.spec_dump, b"{}");
}

#[test]
fn cut_anywhere_it_is_invalid() {
    let bytes = complete();
    // The last entry's data are zeros, as the end marker is: no cut may pass for an end.
    for end in (0..bytes.len() - 1).step_by(64) {
        invalid(&bytes[..end]);
    }
}

#[test]
fn data_after_the_end_are_refused() {
    let mut bytes = complete();
    bytes.extend_from_slice(&complete());
    assert!(invalid(&bytes).contains("after the tar's end marker"));
}

#[test]
fn what_is_missing_is_named() {
    let bytes = tar_of(&[("config.dump", b"{}"), ("checkpoint/a", b"")]);
    assert!(invalid(&bytes).contains("no spec.dump"));
    let bytes = tar_of(&[("spec.dump", b"{}"), ("checkpoint/a", b"")]);
    assert!(invalid(&bytes).contains("no config.dump"));
    let bytes = tar_of(&[("spec.dump", b"{}"), ("config.dump", b"{}")]);
    assert!(invalid(&bytes).contains("checkpoint/"));
    let dumps: [(&str, &[u8]); 2] = [("spec.dump", b"{}"), ("config.dump", b"{}")];
    let bytes = tar_of(&[dumps[0], dumps[1], ("checkpoint/pages-1.img", b"")]);
    assert!(invalid(&bytes).contains("checkpoint/"));
}

#[test]
fn hostile_names_are_refused() {
    for name in ["/etc/passwd", "checkpoint/../../etc/passwd", ".."] {
        let bytes = tar_of(&[("config.dump", b"{}"), (name, b"x")]);
        let why = invalid(&bytes);
        assert!(why.contains(name), "{why}");
    }
    let bytes = tar_of(&[("./config.dump", b"{}"), ("config.dump", b"{}")]);
    assert!(invalid(&bytes).contains("twice"));
}

#[test]
fn only_links_within_the_archive_pass() {
    let with = |kind: tar::EntryType, target: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_path("checkpoint/link").expect("is short");
        header.set_size(0);
        header.set_cksum();
        builder
            .append(&header, io::empty())
            .expect("writes to memory");
        for (name, data) in [
            ("config.dump", "{}"),
            ("spec.dump", "{}"),
            ("checkpoint/a", "a"),
        ] {
            append(&mut builder, name, data.as_bytes());
        }
        builder.into_inner().expect("writes to memory")
    };
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        assert!(scan(&with(kind, "checkpoint/a")[..], BLOCK, (), &mut ()).is_ok());
        for target in ["/etc/shadow", "../../etc/shadow"] {
            let why = invalid(&with(kind, target));
            assert!(why.contains("a link") && why.contains(target), "{why}");
        }
    }
    for kind in [
        tar::EntryType::Char,
        tar::EntryType::Block,
        tar::EntryType::Fifo,
    ] {
        assert!(invalid(&with(kind, "")).contains("checkpoint/link"));
    }
}

#[test]
fn an_endless_header_is_refused_before_it_is_held() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(64 * 1024 * 1024);
    header.set_cksum();
    let name = io::repeat(b'a').take(64 * 1024 * 1024);
    builder.append(&header, name).expect("writes to memory");
    let bytes = builder.into_inner().expect("writes to memory");
    assert!(invalid(&bytes).contains("extensions"));
}

#[test]
fn a_broken_source_or_sink_is_not_a_broken_archive() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk"))
        }
    }
    impl Sink for Broken {
        fn take(&mut self, _: Bytes) -> io::Result<()> {
            Err(io::Error::other("gone"))
        }
    }
    let source = scan(Broken, BLOCK, (), &mut ());
    assert!(matches!(source, Err(ScanError::Read(_))));
    let sink = scan(&complete()[..], BLOCK, Broken, &mut ());
    assert!(matches!(sink, Err(ScanError::Stopped(_))));
}

#[test]
fn a_visitor_sees_what_it_wants_to_and_the_rest_is_passed_over() {
    struct Seen(Vec<(String, u64, Vec<u8>)>);
    impl Visitor for Seen {
        fn visit(&mut self, name: &[u8], size: u64, data: &mut dyn Read) -> io::Result<()> {
            let mut beginning = Vec::new();
            data.take(2).read_to_end(&mut beginning)?;
            let name = String::from_utf8_lossy(name).into_owned();
            self.0.push((name, size, beginning));
            Ok(())
        }
    }
    let bytes = tar_of(&[
        ("./checkpoint/core-1.img", b"core"),
        ("config.dump", b"{}"),
        ("spec.dump", b"{}"),
        ("dump.log", b""),
    ]);
    let mut seen = Seen(Vec::new());
    scan(&bytes[..], BLOCK, (), &mut seen).expect("it is complete");
    let core = ("checkpoint/core-1.img".to_owned(), 4, b"co".to_vec());
    assert_eq!(seen.0, [core, ("dump.log".to_owned(), 0, Vec::new())]);
}
