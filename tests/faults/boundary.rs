//! A step boundary is a write of the record: which one is held, and when it has come.
//!
//! How many there are is written down nowhere: walkers go on until a run ends before its boundary
//! comes, so a new one is covered by itself.

use serde_json::Value;

use crate::case::{Case, FaultOrder, LOOK, Ordered};
use crate::support::cli::Followed;

/// Orders what is to happen to the n-th write of the record; the first one makes it.
pub(crate) async fn hold_write(case: &Case, number: usize, after: bool, action: Value) -> Ordered {
    let (verb, skip) = match number {
        1 => ("create", 0),
        later => ("patch", later - 2),
    };
    case.fault(FaultOrder {
        verb,
        path: "/configmaps",
        skip,
        times: 1,
        after,
        action,
    })
    .await
}

/// Waits until that write has come; `false` when `ms2m` has ended before.
pub(crate) async fn is_held(case: &Case, number: usize, running: &mut Followed) -> bool {
    let has_come = async {
        loop {
            let requests = case.requests().await;
            let of_verb = |verb: &str| {
                let maps = requests.iter().filter(|it| it.resource == "configmaps");
                maps.filter(|it| it.verb == verb).count()
            };
            // A StatefulSet's manifest is kept in another one, which is made later.
            if of_verb("create").min(1) + of_verb("patch") >= number {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = has_come => true,
        () = running.falls_silent() => false,
    }
}
