//! The published figures that ours are laid beside: arXiv 2603.25484.

use crate::matrix::Configuration;

/// A published line: a strategy, and the medians of its total in seconds at [`crate::matrix::RATES`].
///
/// A consumer of 10 ms a message, a limit of the replay of 120 s, three machines: to be compared with
/// ours by its shape, not by its seconds.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Its name there.
    pub name: &'static str,
    /// What is measured here that is most like it.
    pub like: Configuration,
    /// Seconds.
    pub totals: [f64; 7],
}

/// All of them.
pub const PUBLISHED: [Published; 4] = [
    Published {
        name: "sequential",
        like: Configuration::StatefulsetSequential,
        totals: [50.8, 59.2, 81.1, 157.5, 164.7, 165.0, 164.8],
    },
    Published {
        name: "shadow on a StatefulSet",
        like: Configuration::Pod,
        totals: [13.8, 14.3, 19.5, 36.0, 117.2, 129.8, 129.0],
    },
    Published {
        name: "shadow with identity swap",
        like: Configuration::StatefulsetShadow,
        totals: [15.8, 17.6, 23.1, 31.8, 58.3, 139.9, 141.6],
    },
    Published {
        name: "Deployment",
        like: Configuration::Deployment,
        totals: [12.4, 14.0, 20.3, 58.2, 126.0, 128.9, 129.2],
    },
];
