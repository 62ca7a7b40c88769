//! The contract between `ms2m` and the transfer Job: environment, report, exit codes.
