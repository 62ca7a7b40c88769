//! The migrations that are under way, for whoever presses Ctrl-C.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cli::interrupt::{Again, UnderWay, half_done};
use crate::cli::report::Progress;
use crate::cli::ui::Ui;

type Member = (Arc<Progress>, Again);

/// The migrations that are under way.
pub(super) struct Crew {
    ui: Ui,
    members: Mutex<Vec<Member>>,
}

impl Crew {
    pub(super) fn new(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            members: Mutex::default(),
        }
    }

    pub(super) fn join(&self, progress: &Arc<Progress>, again: Again) {
        self.members().push((Arc::clone(progress), again));
    }

    pub(super) fn leave(&self, progress: &Arc<Progress>) {
        self.members()
            .retain(|(other, _)| !Arc::ptr_eq(other, progress));
    }

    /// Nothing that holds the lock can panic half-way through a change.
    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay for Crew {
    fn interrupted(&self, _: bool) {
        let (all, committed) = {
            let members = self.members();
            let committed = members.iter().filter(|(it, _)| it.is_committed());
            (members.len(), committed.count())
        };
        self.ui.words(&stopping(all - committed, committed));
    }

    fn stopped(&self) -> String {
        let members = self.members().clone();
        for (progress, _) in &members {
            progress.end();
        }
        let words = members
            .iter()
            .map(|(progress, again)| half_done(progress.is_committed(), again));
        let words: Vec<String> = words.collect();
        if words.is_empty() {
            "stopped at once: no migration was under way".to_owned()
        } else {
            words.join("\n")
        }
    }
}

/// What a first signal means for those before their commit point and those past it.
fn stopping(back: usize, committed: usize) -> String {
    let mut text = "interrupted: no further pod begins".to_owned();
    let is = |count| if count == 1 { "is" } else { "are" };
    if back > 0 {
        text.push_str(&format!(", {back} {} rolled back", is(back)));
    }
    if committed > 0 {
        let is = is(committed);
        text.push_str(&format!(
            ", {committed} past the commit point {is} finished"
        ));
    }
    text + " (again to stop at once)"
}

#[cfg(test)]
mod tests {
    use clap::ColorChoice;

    use super::*;
    use crate::cli::args::ProgressMode;
    use crate::cli::report;

    #[test]
    fn a_signal_says_what_it_means() {
        assert_eq!(
            stopping(2, 1),
            "interrupted: no further pod begins, 2 are rolled back, 1 past the commit point is \
             finished (again to stop at once)"
        );
        assert_eq!(
            stopping(0, 0),
            "interrupted: no further pod begins (again to stop at once)"
        );
    }

    #[test]
    fn the_last_words_name_every_migration_that_is_under_way() {
        let ui = Ui::new(ColorChoice::Never, true);
        let crew = Crew::new(&ui);
        let join = |name: &str| {
            let view = report::labelled(&ui, ProgressMode::None, name);
            let progress = Progress::start(view).expect("a thread can be had");
            let again = Again {
                resume: format!("ms2m migrate --resume {name}"),
                abort: format!("ms2m abort {name}"),
            };
            crew.join(&progress, again);
            progress
        };
        let (ended, _under_way) = (join("a-1"), join("b-1"));
        crew.leave(&ended);
        let words = crew.stopped();
        assert!(words.contains("ms2m abort b-1"), "{words}");
        assert!(words.contains("ms2m migrate --resume b-1"), "{words}");
        assert!(!words.contains("a-1"), "{words}");
    }
}
