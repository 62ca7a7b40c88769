//! Random schedules, and the runner that tries them with a seed that it prints.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::runtime::Runtime;

use crate::layout::Shape;
use crate::ledger::Place;
use crate::rig::Rig;

/// Repeats a run: its value is the number that a run prints.
const SEED: &str = "MS2M_TEST_SEED";

/// One step of a schedule. Any order makes sense: what does not fit the moment is passed over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// The gate moves: is put in, closed, opened, or taken out.
    Gate {
        /// Takes an open gate out rather than closing it.
        out: bool,
        disturbance: Disturbance,
    },
    /// So many more messages are confirmed.
    Flow(u8),
    /// A consumer starts there; one that is there goes first.
    Start(Place),
    /// The consumer there goes.
    Stop(Place),
}

/// What happens to the requests of a move on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Disturbance {
    None,
    /// The answer to each is lost, so each is sent twice.
    Twice,
    /// ms2m ends after so many, and the next process begins with the first.
    Crash(u8),
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    prop_oneof![
        2 => Just(Disturbance::None),
        1 => Just(Disturbance::Twice),
        2 => (0_u8..12).prop_map(Disturbance::Crash),
    ]
}

fn flow() -> impl Strategy<Value = Step> {
    (0_u8..60).prop_map(Step::Flow)
}

/// A move that takes the gate out with this probability, if it is open.
fn gate(out: f64) -> impl Strategy<Value = Step> {
    (prop::bool::weighted(out), disturbance())
        .prop_map(|(out, disturbance)| Step::Gate { out, disturbance })
}

fn step() -> impl Strategy<Value = Step> {
    let place = || prop::sample::select(Place::ALL.to_vec());
    prop_oneof![
        4 => gate(0.3),
        3 => flow(),
        2 => place().prop_map(Step::Start),
        1 => place().prop_map(Step::Stop),
    ]
}

/// Every schedule puts the gate in and closes it at least once.
fn schedule() -> impl Strategy<Value = Vec<Step>> {
    let rest = prop::collection::vec(step(), 0..16);
    let begin = (flow(), gate(0.0), flow(), gate(0.0), flow());
    (begin, rest).prop_map(|((a, b, c, d, e), rest)| [vec![a, b, c, d, e], rest].concat())
}

/// Tries `cases` random schedules, and panics with the shortest one found that fails.
#[expect(clippy::print_stdout, reason = "a test says how to repeat it")]
pub(crate) fn check(shape: Shape, cases: u32) {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Runtime::new().expect("a runtime can be made"));
    static CASE: AtomicU32 = AtomicU32::new(0);
    let seed: u64 = match std::env::var(SEED) {
        Ok(seed) => seed.parse().expect("the seed is a number"),
        Err(_) => rand::random(),
    };
    println!("{shape:?}: {SEED}={seed} repeats this");
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, random);
    let result = runner.run(&schedule(), |steps| {
        let case = format!("case-{}", CASE.fetch_add(1, Ordering::Relaxed));
        RUNTIME
            .block_on(Rig::play(shape, &case, &steps))
            .map_err(TestCaseError::fail)
    });
    if let Err(error) = result {
        panic!("{shape:?}, {SEED}={seed}: {error}");
    }
}
