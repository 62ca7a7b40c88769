//! Aborts a migration that the controller carries out: it is asked to, and waited for.

use super::{AbortArgs, tell, tell_asked};
use crate::cli::args::GlobalArgs;
use crate::cli::commands::which::{self, Which};
use crate::cli::failure::{Outcome, refused};
use crate::cli::follow::{Aim, Follow, end};
use crate::cli::output::Output;
use crate::cli::ui::Ui;
use crate::cli::wire::Reached;
use crate::cluster::migrations::{Driver, Entry};
use crate::migration::error::ErrorKind;
use crate::migration::recover::end_of;

/// The migration that is meant, if the controller carries it out. Where nothing can be found the
/// other way says why.
pub(super) async fn find(reached: &Reached, which: &Which) -> Option<Entry> {
    let entries = reached.cluster.migrations(false).list(None).await.ok()?;
    let entry = which::find(&entries, which, &reached.namespace).ok()?;
    (entry.driver == Driver::Controller).then(|| entry.clone())
}

/// Asks for it, and waits for the end unless that is not wanted.
pub(super) async fn abort(
    ui: &Ui,
    global: &GlobalArgs,
    args: &AbortArgs,
    reached: &Reached,
    entry: Entry,
) -> Outcome {
    let record = &entry.record;
    if !record.is_unfinished() {
        ui.words(&format!("migration {} has ended already", record.name));
        return told(ui, args.output, &entry);
    }
    let asked = reached
        .cluster
        .migrations(false)
        .set_abort(&record.name)
        .await
        .map_err(|error| refused(format!("migration {} was not aborted", record.name), &error))?;
    let waits = args.wait != Some(false);
    let safely = if waits {
        "; you may safely stop waiting"
    } else {
        ""
    };
    ui.words(&format!(
        "the controller was asked to roll migration {} back{safely}",
        record.name
    ));
    if !waits {
        return tell_asked(ui, args.output, record, "the controller");
    }
    let follow = Follow {
        ui,
        global,
        reached,
        output: args.output,
        aim: Aim::Abort,
        timeout: args.timeout,
    };
    let ended = follow.until_end(asked).await?;
    told(ui, args.output, &ended)
}

fn told(ui: &Ui, output: Output, entry: &Entry) -> Outcome {
    match end::of(&entry.record) {
        Some(Err(error)) if error.kind == ErrorKind::Unfinished => Err(error.into()),
        _ => tell(ui, output, &end_of(&entry.record)?),
    }
}
