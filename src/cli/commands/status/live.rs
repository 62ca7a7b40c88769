//! A list that goes on: redrawn in place on a terminal, a line a change elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{ENDED, StatusArgs, columns, latest, name, public};
use crate::cli::exit;
use crate::cli::failure::{Failure, Outcome, refused};
use crate::cli::interrupt::{self, UnderWay};
use crate::cli::output::{Output, yaml};
use crate::cli::screen::Screen;
use crate::cli::ui::Ui;
use crate::cli::view::status::{self as view, Columns};
use crate::cli::wire::Reached;
use crate::cluster::migrations::{Change, Changes, Entry};
use crate::migration::error::PortError;

/// How long changes are gathered before the screen is drawn again: many come at once.
const GATHER: Duration = Duration::from_millis(100);

/// The ages on the screen grow.
const TICK: Duration = Duration::from_secs(1);

/// Shows them until the process is ended.
pub(super) async fn watch(ui: &Ui, reached: &Reached, args: &StatusArgs) -> Outcome {
    let migrations = reached.cluster.migrations(args.all_namespaces);
    let changes = migrations.follow_all(args.selector.as_deref());
    let stop = CancellationToken::new();
    // Until it is dropped the terminal writes no ^C into the table.
    let _listening = interrupt::listen_for(stop.clone(), Arc::new(Watching), ui.clone())?;
    let watching = async {
        if args.output.is_for_people() && ui.can_redraw_stdout() {
            redraw(changes, args).await
        } else {
            append(ui, changes, args).await
        }
    };
    tokio::select! {
        () = stop.cancelled() => Err(Failure::Told(exit::INTERRUPTED)),
        outcome = watching => outcome,
    }
}

/// Nothing has to be said when it ends.
struct Watching;

impl UnderWay for Watching {
    fn interrupted(&self, _stopping: bool) {}

    fn stopped(&self) -> String {
        String::new()
    }
}

/// The two kinds of objects that migrations are kept in: one of them may be missing.
#[derive(Default)]
struct Kinds {
    lost: u8,
}

impl Kinds {
    /// That one of them may not be seen; an error once both may not.
    fn lose(&mut self, error: PortError) -> Outcome {
        self.lost += 1;
        let excused = matches!(error, PortError::NotFound(_) | PortError::Denied(_));
        if excused && self.lost < 2 {
            return Ok(());
        }
        Err(refused("failed to follow the migrations", &error).into())
    }
}

async fn append(ui: &Ui, mut changes: Changes<Change>, args: &StatusArgs) -> Outcome {
    let mut kinds = Kinds::default();
    let mut lines = Lines::new(columns(args));
    while let Some(change) = changes.next().await {
        let (entry, gone) = match change {
            Change::Entry(entry) => (public(*entry), false),
            Change::Gone(entry) => (public(*entry), true),
            Change::Trouble(words) => {
                ui.words(&format!("{words}; trying again"));
                continue;
            }
            Change::Lost(error) => {
                kinds.lose(error)?;
                continue;
            }
        };
        match args.output {
            Output::Table | Output::Wide => {
                if let Some(text) = lines.of(&entry, gone, Timestamp::now()) {
                    ui.data(&text)?;
                }
            }
            _ if gone => {}
            Output::Name => ui.data(&name(&entry, args))?,
            Output::Json => {
                let text = serde_json::to_string(&entry.record).map_err(std::io::Error::from)?;
                ui.data(&text)?;
            }
            Output::Yaml => ui.data(&format!("---\n{}", yaml(&entry.record)?))?,
        }
    }
    Ok(())
}

/// Lines as `kubectl get -w` prints them: a header, then a line whenever one looks otherwise.
struct Lines {
    columns: Columns,
    widths: Vec<usize>,
    told: BTreeMap<String, Vec<String>>,
}

impl Lines {
    fn new(columns: Columns) -> Self {
        Self {
            columns,
            widths: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// The line about `entry`, under a header if it is the first one; none when nothing but its
    /// age has changed.
    fn of(&mut self, entry: &Entry, gone: bool, now: Timestamp) -> Option<String> {
        let header = view::header(self.columns);
        let mut row = view::row(&entry.record, self.columns, now);
        if gone {
            self.told.remove(&entry.uid);
            let phase = header.iter().position(|name| *name == "PHASE");
            if let Some(cell) = phase.and_then(|at| row.get_mut(at)) {
                *cell = "Deleted".to_owned();
            }
        } else {
            let mut same = row.clone();
            let age = header.iter().position(|name| *name == "AGE");
            if let Some(cell) = age.and_then(|at| same.get_mut(at)) {
                cell.clear();
            }
            if self.told.get(&entry.uid) == Some(&same) {
                return None;
            }
            self.told.insert(entry.uid.clone(), same);
        }
        let mut text = String::new();
        if self.widths.is_empty() {
            self.widths = header
                .iter()
                .zip(&row)
                .map(|(name, cell)| name.len().max(cell.len()))
                .collect();
            let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
            text = self.line(&header) + "\n";
        }
        Some(text + &self.line(&row))
    }

    fn line(&self, cells: &[String]) -> String {
        let padded = cells.iter().zip(&self.widths);
        let line: String = padded
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        line.trim_end().to_owned()
    }
}

async fn redraw(mut changes: Changes<Change>, args: &StatusArgs) -> Outcome {
    let mut kinds = Kinds::default();
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut drawn = Screen::on_stdout();
    let mut resized = signal(SignalKind::window_change())?;
    let mut trouble = None;
    loop {
        let until = Instant::now() + TICK;
        // Waits for a change, then a moment for those that come with it.
        let mut next = tokio::select! {
            change = changes.next() => Some(change),
            _ = resized.recv() => None,
            () = sleep_until(until) => None,
        };
        let gathered = Instant::now() + GATHER;
        while let Some(change) = next {
            match change {
                Some(Change::Entry(entry)) => {
                    trouble = None;
                    entries.insert(entry.uid.clone(), public(*entry));
                }
                Some(Change::Gone(entry)) => drop(entries.remove(&entry.uid)),
                Some(Change::Trouble(words)) => trouble = Some(words),
                Some(Change::Lost(error)) => kinds.lose(error)?,
                None => return Ok(()),
            }
            next = tokio::select! {
                biased;
                change = changes.next() => Some(change),
                () = sleep_until(gathered.min(until)) => None,
            };
        }
        let mut sorted: Vec<Entry> = entries.values().cloned().collect();
        sorted.sort_by(|one, other| one.order().cmp(&other.order()));
        let text = screen(&sorted, args, drawn.size().rows, Timestamp::now());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(words) = &trouble {
            lines.push(format!("{words}; trying again"));
        }
        drawn.draw(&[], &lines)?;
    }
}

/// What fits on a screen of so many rows: those that have not ended, and the latest of the others.
fn screen(entries: &[Entry], args: &StatusArgs, rows: usize, now: Timestamp) -> String {
    let shown = if args.all {
        entries.iter().collect()
    } else {
        latest(entries, ENDED)
    };
    // A row for the header, one for what is not shown, one for the cursor.
    let room = rows.saturating_sub(3).max(1);
    let hidden = entries.len() - shown.len().min(room);
    let first = shown.len().saturating_sub(room);
    let records: Vec<_> = shown[first..].iter().map(|it| it.record.clone()).collect();
    let mut text = view::list(&records, columns(args), now);
    if hidden > 0 {
        text.push_str(&format!("\nand {hidden} older"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;
    use crate::api::Phase;

    #[test]
    fn a_line_is_told_when_more_than_its_age_has_changed() {
        let mut lines = Lines::new(Columns::default());
        let time = |seconds| Timestamp::from_second(seconds).expect("it is in range");
        let mut told = |phase, gone, now| {
            let text = lines.of(&entry("m-1", Some(phase)), gone, time(now));
            text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            told(Phase::Pending, false, 1).as_deref(),
            Some("NAME POD FROM TO STRATEGY PHASE AGE m-1 w - - - Pending 1s")
        );
        assert_eq!(told(Phase::Pending, false, 2), None);
        assert_eq!(
            told(Phase::Restoring, false, 3).as_deref(),
            Some("m-1 w - - - Restoring 3s")
        );
        assert_eq!(
            told(Phase::Restoring, true, 4).as_deref(),
            Some("m-1 w - - - Deleted 4s")
        );
    }

    #[test]
    fn a_screen_is_never_longer_than_the_terminal() {
        let entries: Vec<Entry> = (0..50)
            .map(|number| entry(&format!("m-{number}"), None))
            .collect();
        let args = StatusArgs {
            name: None,
            all: false,
            all_namespaces: false,
            watch: true,
            selector: None,
            output: Output::Table,
        };
        let text = screen(&entries, &args, 10, Timestamp::UNIX_EPOCH);
        assert_eq!(text.lines().count(), 9);
        assert!(
            text.contains("m-49") && text.ends_with("and 43 older"),
            "{text}"
        );
    }

    #[test]
    fn one_kind_of_object_may_be_missing() {
        let mut kinds = Kinds::default();
        let missing = || PortError::NotFound("no CRD".to_owned());
        assert!(kinds.lose(missing()).is_ok());
        assert!(kinds.lose(missing()).is_err());
        let mut kinds = Kinds::default();
        assert!(kinds.lose(PortError::Invalid("x".to_owned())).is_err());
    }
}
