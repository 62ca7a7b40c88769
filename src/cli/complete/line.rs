//! Of a line that is still being typed: which cluster it is about.

use std::ffi::OsString;

use clap::ArgMatches;

use crate::cli::args::command;
use crate::cluster::ConnectOptions;

/// Where the line leads.
pub(super) struct Line {
    pub(super) connect: ConnectOptions,
}

impl Line {
    /// Reads `typed`, the program's name first, as far as it makes sense.
    pub(super) fn read(typed: &[OsString]) -> Self {
        let read = command().ignore_errors(true).try_get_matches_from(typed);
        let mut found = read.ok();
        // A flag of all commands is known to the innermost one.
        while let Some(deeper) = found.as_mut().and_then(ArgMatches::remove_subcommand) {
            found = Some(deeper.1);
        }
        let text = |name| found.as_ref()?.get_one::<String>(name).cloned();
        Self {
            connect: ConnectOptions {
                kubeconfig: found
                    .as_ref()
                    .and_then(|it| it.get_one("kubeconfig").cloned()),
                context: text("context"),
                namespace: text("namespace"),
                user_agent: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_count_wherever_they_stand() {
        for line in [
            "ms2m -n shop --context=prod --kubeconfig /k migrate worker-0 --to ",
            "ms2m migrate -n shop worker-0 --context prod --kubeconfig=/k --to ",
            "ms2m checkpoint inspect --context prod --kubeconfig /k -n shop --bogus ",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let connect = Line::read(&words).connect;
            assert_eq!(connect.namespace.as_deref(), Some("shop"), "{line}");
            assert_eq!(connect.context.as_deref(), Some("prod"), "{line}");
            assert_eq!(
                connect.kubeconfig.as_deref(),
                Some(Path::new("/k")),
                "{line}"
            );
        }
    }
}
