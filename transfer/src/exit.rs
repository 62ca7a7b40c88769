//! Exit codes of `ms2m-transfer`.

use crate::report::FailureCode;

/// How the process ends. The termination message says the same with words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The image is in the registry and was read back; or the archive was to be deleted instead,
    /// and was.
    Pushed = 0,
    /// A flag, an environment variable or the credentials file is wrong. Nothing was touched.
    Config = 2,
    /// The archive is not there or cannot be read.
    ArchiveMissing = 3,
    /// The archive is not a complete checkpoint archive.
    ArchiveInvalid = 4,
    /// The registry refused the credentials or their rights.
    RegistryDenied = 5,
    /// The registry could not be reached, or failed, also after retries.
    RegistryFailed = 6,
    /// SIGTERM or SIGINT arrived first.
    Interrupted = 143,
}

impl ExitCode {
    /// The number that the process exits with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<FailureCode> for ExitCode {
    fn from(code: FailureCode) -> Self {
        match code {
            FailureCode::Config => Self::Config,
            FailureCode::ArchiveMissing => Self::ArchiveMissing,
            FailureCode::ArchiveInvalid => Self::ArchiveInvalid,
            FailureCode::RegistryDenied => Self::RegistryDenied,
            FailureCode::RegistryFailed => Self::RegistryFailed,
            FailureCode::Interrupted => Self::Interrupted,
            FailureCode::Discarded => Self::Pushed,
        }
    }
}
