//! Uploads that break are gone on with, or begun again where the registry wants it so; either way
//! the layer is the archive, byte for byte.

use std::time::{SystemTime, UNIX_EPOCH};

use ms2m_transfer::{Event, env};
use tempfile::TempDir;

use crate::support::archive;
use crate::support::binary::{Outcome, Transfer};
use crate::support::proxy::{Faults, Proxy};
use crate::support::registry::Registry;
use crate::support::scripted::{Script, Scripted};

const MIB: u64 = 1024 * 1024;

/// Random numbers that can be had again: `MS2M_SEED` takes a seed that a failed run has printed.
struct Chance(u64);

impl Chance {
    #[expect(clippy::print_stderr, reason = "whoever repeats the run needs it")]
    fn new() -> Self {
        let given = std::env::var("MS2M_SEED").ok();
        let seed: u64 = given.map_or_else(
            || {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                now.expect("it is after 1970").subsec_nanos().into()
            },
            |seed| seed.parse().expect("MS2M_SEED is a number"),
        );
        eprintln!("MS2M_SEED={seed}");
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// An archive, and its bytes.
fn an_archive(memory: u64) -> (TempDir, std::path::PathBuf, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), memory);
    let bytes = std::fs::read(&path).expect("the archive is there");
    (directory, path, bytes)
}

/// Pushes an archive of `memory` without compression to a registry with this script, and sees to
/// it that it is there, byte for byte.
fn pushed_to(script: Script, memory: u64) -> (Scripted, Outcome) {
    let registry = Scripted::start(script);
    let (_directory, path, bytes) = an_archive(memory);
    let outcome = Transfer::new(&path, &registry.image())
        .env(env::COMPRESSION, "none")
        .run();
    let pushed = outcome.pushed();
    let blob = registry.blob(&pushed.layer_digest);
    assert!(blob == Some(bytes), "{}", outcome.everything());
    assert_eq!(registry.left_over(), 0, "{}", outcome.everything());
    (registry, outcome)
}

/// Bytes read, as they were reported. They fall where the archive is read anew.
fn reads(outcome: &Outcome) -> Vec<u64> {
    let events = outcome.events();
    let reads = events.iter().filter_map(|event| match event {
        Event::Progress(progress) => Some(progress.read_bytes),
        _ => None,
    });
    reads.collect()
}

/// Pushes 24 MiB that are cut so many times, and sees to it that the archive is read once.
fn cut_at_random(times: usize, script: Script) {
    let mut chance = Chance::new();
    let mut cuts: Vec<u64> = (0..times).map(|_| chance.below(24 * MIB)).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (times, refused) = (cuts.len(), script.refuse_streams.is_some());
    let (registry, outcome) = pushed_to(Script { cuts, ..script }, 24 * MIB);
    // The layer's, the configuration's, and that of a stream that was refused.
    assert_eq!(registry.uploads(), 2 + u32::from(refused));
    assert!(outcome.retries() >= times, "{}", outcome.stdout);
    let reads = reads(&outcome);
    let falls = reads.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(falls <= usize::from(refused), "{}", outcome.stdout);
}

#[test]
fn a_stream_cut_at_a_hundred_random_bytes_reads_the_archive_once() {
    cut_at_random(100, Script::default());
}

#[test]
fn pieces_cut_at_twenty_random_bytes_read_the_archive_once() {
    let script = Script {
        refuse_streams: Some(413),
        ..Script::default()
    };
    cut_at_random(20, script);
}

#[test]
fn uploads_cut_at_random_bytes_end_in_the_same_layer() {
    let registry = Registry::start();
    let mut chance = Chance::new();
    for run in 0..20 {
        let (_directory, path, bytes) = an_archive(9 * MIB);
        let cut_once = Faults {
            cuts: 1.into(),
            cut_after: (1 + chance.below(bytes.len() as u64)).into(),
            ..Faults::default()
        };
        let proxy = Proxy::start(registry.address(), cut_once);
        let repository = format!("cut-{run}/cp:1");
        let outcome = Transfer::new(&path, &format!("{}/{repository}", proxy.address()))
            .env(env::COMPRESSION, "none")
            .run();
        let pushed = outcome.pushed();
        let direct = format!("{}/{repository}", registry.address());
        let blob = registry.blob(&direct, &pushed.layer_digest);
        assert!(blob == bytes, "run {run}: {}", outcome.everything());
    }
}

#[test]
fn a_token_that_expires_on_the_way_is_got_anew() {
    // A stream is refused when it is gone on with, a piece whenever it comes.
    for (cuts, refuse_streams) in [(vec![4 * MIB, 8 * MIB], None), (Vec::new(), Some(411))] {
        let refused = refuse_streams.is_some();
        let script = Script {
            cuts,
            refuse_streams,
            refusals: vec![(4 * MIB, 401), (8 * MIB, 503), (8 * MIB, 429)],
            ..Script::default()
        };
        let (registry, outcome) = pushed_to(script, 12 * MIB);
        let uploads = 2 + u32::from(refused);
        assert_eq!(registry.uploads(), uploads, "{}", outcome.everything());
        assert!(refused || reads(&outcome).is_sorted(), "{}", outcome.stdout);
    }
}

#[test]
fn a_registry_that_asks_to_wait_is_waited_for() {
    let script = Script {
        cuts: vec![4 * MIB, 8 * MIB],
        refusals: vec![(4 * MIB, 503), (8 * MIB, 429)],
        retry_after: Some(2),
        ..Script::default()
    };
    let (_registry, outcome) = pushed_to(script, 12 * MIB);
    let events = outcome.events();
    let delays: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Retrying(retrying) => Some(retrying.delay_seconds),
            _ => None,
        })
        .collect();
    let asked = delays.iter().filter(|delay| **delay >= 2.0).count();
    assert_eq!((delays.len(), asked), (4, 2), "{}", outcome.everything());
}

#[test]
fn a_registry_that_takes_no_stream_gets_pieces_and_one_that_takes_none_the_layer_whole() {
    for (refuse_streams, refuse_pieces, retries) in [
        (Some(400), None, 1),
        (Some(411), None, 1),
        (Some(413), None, 1),
        (None, Some(405), 1),
        (None, Some(501), 1),
        (None, Some(416), 2),
    ] {
        let script = Script {
            refuse_streams,
            refuse_pieces,
            ..Script::default()
        };
        let (_registry, outcome) = pushed_to(script, 9 * MIB);
        assert_eq!(outcome.retries(), retries, "{}", outcome.stdout);
    }
}

#[test]
fn a_registry_that_does_not_say_what_it_has_gets_a_stream_or_the_layer_whole() {
    for (refuse_streams, retries) in [(None, 0), (Some(413), 2)] {
        let script = Script {
            no_range: true,
            refuse_streams,
            ..Script::default()
        };
        let (_registry, outcome) = pushed_to(script, 9 * MIB);
        assert_eq!(outcome.retries(), retries, "{}", outcome.stdout);
    }
}
