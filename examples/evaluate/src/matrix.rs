//! What is measured: cases, the default matrix of them, and the order of the runs. Nothing is run here.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

/// Messages a second, as in the published evaluation (arXiv 2603.25484).
pub const RATES: [u32; 7] = [10, 20, 40, 60, 80, 100, 120];

/// Bytes in a MiB.
pub const MIB: u64 = 1024 * 1024;

/// Who owns the pod, and by which strategy it moves.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Configuration {
    /// A pod of nobody, as a shadow pod.
    Pod,
    /// A pod of a Deployment, as a shadow pod.
    Deployment,
    /// A pod of a StatefulSet, which goes before its copy comes.
    StatefulsetSequential,
    /// A pod of a StatefulSet, as a shadow pod whose state a second handoff gives to the set's own.
    StatefulsetShadow,
}

impl Configuration {
    /// The name that it goes by in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Deployment => "deployment",
            Self::StatefulsetSequential => "statefulset-sequential",
            Self::StatefulsetShadow => "statefulset-shadow",
        }
    }
}

/// What moves the pod.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `ms2m migrate`, handoff Gate.
    Cli,
    /// A controller, handoff Gate.
    Controller,
    /// `ms2m migrate`, handoff Mirror.
    Mirror,
    /// What everyone has: delete the pod and let it start elsewhere.
    Recreate,
}

impl Way {
    /// The name that it goes by in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Controller => "controller",
            Self::Mirror => "mirror",
            Self::Recreate => "recreate",
        }
    }
}

/// One combination of everything that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// The pod.
    pub configuration: Configuration,
    /// What moves it.
    pub way: Way,
    /// Messages a second.
    pub rate: u32,
    /// Time that the worker takes for a message, in milliseconds.
    pub processing_ms: u64,
    /// Bytes that the worker holds besides its state.
    pub state_bytes: u64,
    /// Messages that are published at once just before the migration begins.
    pub backlog: u64,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Of what.
    pub case: Case,
    /// The how manieth of it, from 1.
    pub repetition: u32,
}

impl fmt::Display for Run {
    /// The run's key: what tells it from any other one of a results file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = &self.case;
        write!(
            f,
            "{}-{}-rate{}-work{}ms-state{}-backlog{}-{}",
            case.configuration.name(),
            case.way.name(),
            case.rate,
            case.processing_ms,
            case.state_bytes,
            case.backlog,
            self.repetition
        )
    }
}

/// What is common to all cases of a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How long messages come before the migration begins.
    pub warm_up: Duration,
    /// How long they go on coming afterwards.
    pub after: Duration,
    /// The limit of the replay (`--replay-cutoff`).
    pub cutoff: Duration,
}

/// The worker that a case has unless another one is asked for: 10 ms a message, as published.
pub const PROCESSING_MS: u64 = 10;

/// What it holds unless another size is asked for.
pub const STATE_BYTES: u64 = MIB;

/// The rate at which what is not the main subject is looked at: a busy one.
const BUSY: u32 = 60;

/// The backlog of the cases with one.
const BACKLOG: u64 = 200;

/// The default matrix: every configuration at every rate by the command line. Beside that, every rate
/// with a backlog, each by one configuration; and at one rate each a controller, the handoff Mirror,
/// deletion, and states of up to 1 GiB.
pub fn default_matrix() -> Vec<Case> {
    use Configuration::{Deployment, Pod, StatefulsetSequential, StatefulsetShadow};
    let all = [Pod, Deployment, StatefulsetSequential, StatefulsetShadow];
    let usual = [STATE_BYTES];
    let mut cases = cross(&all, &[Way::Cli], &RATES, &usual, &[0]);
    // One after the other, so that each strategy has it where the worker keeps up and where it does not.
    let in_turn = [Pod, StatefulsetSequential, Deployment, StatefulsetShadow];
    for (rate, configuration) in RATES.into_iter().zip(in_turn.into_iter().cycle()) {
        cases.extend(cross(
            &[configuration],
            &[Way::Cli],
            &[rate],
            &usual,
            &[BACKLOG],
        ));
    }
    cases.extend(cross(&all, &[Way::Controller], &[BUSY], &usual, &[0]));
    let mirrored = [Pod, Deployment];
    cases.extend(cross(&mirrored, &[Way::Mirror], &[20, BUSY], &usual, &[0]));
    let owners = [Pod, Deployment, StatefulsetSequential];
    cases.extend(cross(&owners, &[Way::Recreate], &[BUSY], &usual, &[0]));
    let sizes = [64 * MIB, 256 * MIB, 1024 * MIB];
    cases.extend(cross(&[Pod], &[Way::Cli], &[20], &sizes, &[0]));
    cases
}

/// Every combination.
pub fn cross(
    configurations: &[Configuration],
    ways: &[Way],
    rates: &[u32],
    states: &[u64],
    backlogs: &[u64],
) -> Vec<Case> {
    let mut cases = Vec::new();
    for &configuration in configurations {
        for &way in ways {
            for &rate in rates {
                for &state_bytes in states {
                    cases.extend(backlogs.iter().map(|&backlog| Case {
                        configuration,
                        way,
                        rate,
                        processing_ms: PROCESSING_MS,
                        state_bytes,
                        backlog,
                    }));
                }
            }
        }
    }
    cases
}

/// All runs in the order in which they are made: one repetition of everything after the other, so that
/// what drifts over the hours drifts for all alike, and each shuffled anew.
pub fn plan(cases: &[Case], repetitions: u32, seed: u64) -> Vec<Run> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut runs = Vec::new();
    for repetition in 1..=repetitions {
        let mut block: Vec<Run> = cases.iter().map(|&case| Run { case, repetition }).collect();
        block.shuffle(&mut random);
        runs.extend(block);
    }
    runs
}

/// About how long a run takes, in seconds. From runs in the sandbox on two cores; good for telling
/// whether to wait or to come back tomorrow.
pub fn estimate(case: &Case, pace: &Pace) -> f64 {
    const SET_UP_AND_END: f64 = 3.0;
    const MOVING: f64 = 2.0;
    const SECOND_HANDOFF: f64 = 2.5;
    const SECONDS_FOR_A_GIB: f64 = 9.0;
    // A sleep of some milliseconds takes one more, and the broker its share.
    let capacity = 1000.0 / (case.processing_ms as f64 + 1.3);
    let rate = f64::from(case.rate);
    let mut moving = MOVING + case.state_bytes as f64 / (1024 * MIB) as f64 * SECONDS_FOR_A_GIB;
    if case.configuration == Configuration::StatefulsetShadow {
        moving += SECOND_HANDOFF;
    }
    let source_empties = case.backlog as f64 / capacity;
    let replay = if rate < capacity {
        (rate * moving / (capacity - rate)).min(pace.cutoff.as_secs_f64())
    } else {
        pace.cutoff.as_secs_f64()
    };
    let producing =
        pace.warm_up.as_secs_f64() + source_empties + moving + replay + pace.after.as_secs_f64();
    let rest = producing * (rate - capacity).max(0.0) / capacity;
    SET_UP_AND_END + producing + rest
}

#[cfg(test)]
mod tests {
    //! Tests of the plan.

    use std::collections::BTreeSet;

    use super::*;

    const PACE: Pace = Pace {
        warm_up: Duration::from_millis(1_500),
        after: Duration::from_secs(1),
        cutoff: Duration::from_secs(5),
    };

    #[test]
    fn the_default_matrix_has_each_case_once_and_every_configuration_at_every_rate() {
        let cases = default_matrix();
        let distinct: BTreeSet<Case> = cases.iter().copied().collect();
        assert_eq!(distinct.len(), cases.len());
        for configuration in Configuration::value_variants() {
            for rate in RATES {
                let has = |case: &Case| (case.configuration, case.rate) == (*configuration, rate);
                assert!(cases.iter().any(has), "{configuration:?} at {rate}");
            }
        }
        for rate in RATES {
            let waits = |case: &Case| case.rate == rate && case.backlog > 0;
            assert!(cases.iter().any(waits), "a backlog at {rate}");
        }
    }

    #[test]
    fn ten_repetitions_of_the_default_matrix_take_less_than_two_hours() {
        let once: f64 = default_matrix().iter().map(|it| estimate(it, &PACE)).sum();
        assert!(once * 10.0 < 7_200.0, "{once} s");
    }

    #[test]
    fn the_order_is_the_seeds_and_each_repetition_is_whole() {
        let cases = default_matrix();
        let runs = plan(&cases, 3, 7);
        assert_eq!(runs, plan(&cases, 3, 7));
        assert_ne!(runs, plan(&cases, 3, 8));
        for (at, block) in runs.chunks(cases.len()).enumerate() {
            let distinct: BTreeSet<Case> = block.iter().map(|run| run.case).collect();
            assert_eq!(distinct.len(), cases.len());
            assert!(block.iter().all(|run| run.repetition as usize == at + 1));
        }
        let keys: BTreeSet<String> = runs.iter().map(Run::to_string).collect();
        assert_eq!(keys.len(), runs.len(), "a key is one run's alone");
    }

    #[test]
    fn a_worker_that_cannot_keep_up_takes_the_whole_replay() {
        let mut case = default_matrix()[0];
        case.rate = 20;
        let easy = estimate(&case, &PACE);
        case.rate = 120;
        assert!(estimate(&case, &PACE) > easy + PACE.cutoff.as_secs_f64());
    }
}
