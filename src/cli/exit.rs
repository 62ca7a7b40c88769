//! The exit codes, documented in one table that help, reference and tests share.

use crate::migration::error::ErrorKind;

/// What an exit code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitMeaning {
    /// The code.
    pub code: u8,
    /// What it says about the migration.
    pub meaning: &'static str,
}

/// Code of an error that belongs to no kind, such as a full disk under stdout.
pub const UNEXPECTED: u8 = 1;

/// Code of what cluster or broker do not allow; of a check that fails, too.
pub const REFUSED: u8 = 3;

/// Code of something that is half done and can be gone on with.
pub const UNFINISHED: u8 = 5;

/// Code of messages that may not have been applied exactly once and in order.
pub const IN_DOUBT: u8 = 11;

/// Code after an interruption, as shells give it for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Every code that `ms2m` ends with.
pub const EXIT_CODES: [ExitMeaning; 13] = [
    meaning(0, "done"),
    meaning(
        UNEXPECTED,
        "something unexpected; the words on stderr say what",
    ),
    meaning(
        2,
        "usage: the request makes no sense as it was typed or configured; nothing was changed",
    ),
    meaning(
        REFUSED,
        "refused: cluster or broker do not allow it, or a check has failed; nothing was changed",
    ),
    meaning(
        4,
        "rolled back: it failed on the way, and the source serves as before",
    ),
    meaning(
        UNFINISHED,
        "unfinished: it failed after the commit point, and something is left to finish",
    ),
    meaning(
        6,
        "stuck: something could not be undone; the words on stderr say what is left",
    ),
    meaning(
        7,
        "lost: the lock on the pod was lost, and this process stopped at once; the migration is where status says, \
         and another process may go on with it",
    ),
    meaning(
        8,
        "too late: it was to be aborted past its commit point; the target serves",
    ),
    meaning(
        9,
        "pod lost: the source before the commit point, or the target after it, crashed, was deleted or is out of reach, \
         and the pod's state with it; its messages wait in the queue",
    ),
    meaning(
        10,
        "timed out: it was waited for as long as --timeout says; it goes on without this command",
    ),
    meaning(
        IN_DOUBT,
        "in doubt: it has ended, but something was seen on the way that speaks against every message having been \
         applied exactly once and in order; the words on stderr say what",
    ),
    meaning(
        INTERRUPTED,
        "interrupted, and rolled back unless it was interrupted twice; of a migration that was only watched: watched no \
         more",
    ),
];

const fn meaning(code: u8, meaning: &'static str) -> ExitMeaning {
    ExitMeaning { code, meaning }
}

/// Why nobody needs to be told about the world after this kind of failure, or what they need to
/// be told: the first line under an error.
#[must_use]
pub fn outcome(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Usage => None,
        ErrorKind::Refused => Some("nothing was changed"),
        ErrorKind::RolledBack => Some("rolled back: the source serves as before"),
        ErrorKind::Interrupted => Some("interrupted and rolled back: the source serves as before"),
        ErrorKind::Unfinished => Some("past the commit point; something is left to finish"),
        ErrorKind::Stuck => Some("not everything could be undone"),
        ErrorKind::LockLost => Some("stopped at once, without another effect"),
        ErrorKind::Left => Some("stopped without another effect; another process goes on"),
        ErrorKind::TooLate => Some("the target serves"),
        ErrorKind::SourceLost => Some(
            "rolled back, but nobody serves: the source is gone or out of reach, and the messages wait in the queue",
        ),
        ErrorKind::TargetLost => Some("nobody serves: the messages wait in the queue"),
        ErrorKind::TimedOut => Some("it goes on without this command"),
        ErrorKind::InDoubt => Some("messages are in doubt"),
    }
}

/// The table as the help of the program shows it.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in EXIT_CODES {
        text.push_str(&format!("  {:>3}  {}\n", exit.code, exit.meaning));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_a_documented_code() {
        let kinds = [
            ErrorKind::Usage,
            ErrorKind::Refused,
            ErrorKind::RolledBack,
            ErrorKind::Interrupted,
            ErrorKind::Unfinished,
            ErrorKind::Stuck,
            ErrorKind::LockLost,
            ErrorKind::TooLate,
            ErrorKind::SourceLost,
            ErrorKind::TargetLost,
            ErrorKind::TimedOut,
            ErrorKind::InDoubt,
        ];
        let mut codes: Vec<u8> = kinds.iter().map(|kind| kind.exit_code()).collect();
        codes.extend([0, UNEXPECTED]);
        codes.sort_unstable();
        // A lost pod is a lost pod, be it the source or the target.
        codes.dedup();
        let documented: Vec<u8> = EXIT_CODES.iter().map(|exit| exit.code).collect();
        assert_eq!(codes, documented);
    }
}
