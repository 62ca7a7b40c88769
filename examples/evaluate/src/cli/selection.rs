//! Which cases are run: the default matrix, or every combination of what flags say.

use std::time::Duration;

use clap::{Args, ValueEnum as _};
use ms2m_worker::parse_duration;

use crate::matrix::{
    Case, Configuration, MIB, PROCESSING_MS, Pace, RATES, STATE_BYTES, Way, cross, default_matrix,
};

/// What is run. Without any of the first six flags it is the default matrix; with one, every
/// combination of theirs.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Messages a second [default: 10,20,40,60,80,100,120].
    #[arg(long, value_delimiter = ',')]
    rates: Vec<u32>,
    /// Pods to move [default: all].
    #[arg(long, value_delimiter = ',', value_enum)]
    configurations: Vec<Configuration>,
    /// What moves them [default: cli].
    #[arg(long, value_delimiter = ',', value_enum)]
    ways: Vec<Way>,
    /// Time that the worker takes for a message [default: 10ms].
    #[arg(long, value_parser = parse_duration)]
    processing_time: Option<Duration>,
    /// MiB that the worker holds besides its state [default: 1].
    #[arg(long, value_delimiter = ',', value_name = "MIB")]
    states: Vec<u64>,
    /// Messages that wait when the migration begins [default: 0].
    #[arg(long, value_delimiter = ',', value_name = "MESSAGES")]
    backlogs: Vec<u64>,
    /// How often each case is run.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repetitions: u32,
    /// How long messages come before the migration begins.
    #[arg(long, default_value = "1500ms", value_parser = parse_duration)]
    warm_up: Duration,
    /// How long they go on coming after it has ended.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    after: Duration,
    /// Limit of the replay. The published figures have 120 s, which a worker that cannot keep up
    /// takes whole.
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    cutoff: Duration,
    /// What the order of the runs is drawn from [default: that of the results file, else the clock].
    #[arg(long)]
    pub(super) seed: Option<u64>,
}

impl Selection {
    pub(super) fn pace(&self) -> Pace {
        Pace {
            warm_up: self.warm_up,
            after: self.after,
            cutoff: self.cutoff,
        }
    }

    pub(super) fn cases(&self) -> Vec<Case> {
        let none = self.rates.is_empty()
            && self.configurations.is_empty()
            && self.ways.is_empty()
            && self.processing_time.is_none()
            && self.states.is_empty()
            && self.backlogs.is_empty();
        if none {
            return default_matrix();
        }
        let states: Vec<u64> = self
            .states
            .iter()
            .map(|mebibytes| mebibytes * MIB)
            .collect();
        let mut cases = cross(
            or(&self.configurations, Configuration::value_variants()),
            or(&self.ways, &[Way::Cli]),
            or(&self.rates, &RATES),
            or(&states, &[STATE_BYTES]),
            or(&self.backlogs, &[0]),
        );
        let processing = self.processing_time.map(|time| time.as_millis());
        let processing = processing.and_then(|ms| u64::try_from(ms).ok());
        for case in &mut cases {
            case.processing_ms = processing.unwrap_or(PROCESSING_MS);
        }
        cases
    }
}

fn or<'a, T>(given: &'a [T], default: &'a [T]) -> &'a [T] {
    if given.is_empty() { default } else { given }
}
