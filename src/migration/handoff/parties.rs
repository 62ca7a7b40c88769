//! Getting a party onto its own replay queue, and back from it to the primary queue.

use super::moves::{Effect, Message, Move, Party, Waiting};
use super::seen::{Fill, Line, Seen, Told};

/// What concerns one party.
struct View {
    own: Line,
    told: Told,
    on_own: Waiting,
    quiet: Waiting,
    on_primary: Waiting,
}

fn view(party: Party, seen: &Seen) -> View {
    match party {
        Party::Source => View {
            own: seen.hold,
            told: seen.source_told,
            on_own: Waiting::SourceOnHold,
            quiet: Waiting::HoldQuiet,
            on_primary: Waiting::SourceOnPrimary,
        },
        Party::Target => View {
            own: seen.replay,
            told: seen.target_told,
            on_own: Waiting::TargetOnReplay,
            quiet: Waiting::ReplayQuiet,
            on_primary: Waiting::TargetOnPrimary,
        },
    }
}

/// Gets a party onto its own replay queue: `None` once it is there.
///
/// The source must have left the primary queue as well. Of the target that is not asked: its
/// consumer there may be the source's, and the primary queue is silent.
pub(super) fn onto_own_queue(party: Party, seen: &Seen) -> Option<Move> {
    let view = view(party, seen);
    let left_primary = party == Party::Target || !seen.primary.consumed;
    if view.own.consumed && left_primary {
        return None;
    }
    if view.told.is_under_way(Message::StartReplay) || view.own.consumed {
        return Some(wait(view.on_own, seen));
    }
    if seen.overdue {
        return Some(Move::GiveUp(view.on_own));
    }
    Some(Move::Do(Effect::Tell(party, Message::StartReplay)))
}

/// Whom `effect`, carried out while the gate is open, sends back to a replay queue that it has left before
/// it was done with it.
///
/// That party has lost its connection then, and has come back, or may yet come back, on the primary queue by
/// habit: there are newer messages, and what it has taken of them it has applied before the older
/// ones. None of them is lost or applied twice, but their order may be broken, and that must be told.
#[must_use]
pub fn out_of_turn(effect: Effect, seen: &Seen) -> Option<Party> {
    match effect {
        Effect::Tell(party, Message::StartReplay) => {
            (view(party, seen).own.fill != Fill::Quiet).then_some(party)
        }
        _ => None,
    }
}

/// Gets a party from its own, finite replay queue back to the primary one: `None` once it is
/// there and nothing is left behind. What the party had not acknowledged when it left comes back
/// to its queue; then it is sent there once more.
///
/// It counts as back only once it has taken an `END_REPLAY` of this process: orders are taken in
/// their sequence, so no `START_REPLAY` of an earlier process can be left that would lead it to
/// its replay queue again when that is gone.
pub(super) fn move_back(party: Party, seen: &Seen) -> Option<Move> {
    let view = view(party, seen);
    let order = match (view.own.fill, view.own.consumed) {
        (Fill::Quiet, false)
            if seen.primary.consumed && view.told.has_taken(Message::EndReplay) =>
        {
            return None;
        }
        (Fill::Quiet, _) => Message::EndReplay,
        (Fill::Waiting, false) => Message::StartReplay,
        (Fill::Waiting, true) | (Fill::Settling, _) => return Some(Move::Wait(view.quiet)),
    };
    if view.told.is_under_way(order) {
        return Some(wait(view.on_primary, seen));
    }
    if seen.overdue {
        return Some(Move::GiveUp(view.on_primary));
    }
    Some(Move::Do(Effect::Tell(party, order)))
}

/// Waits, unless it has taken too long.
pub(super) fn wait(waiting: Waiting, seen: &Seen) -> Move {
    if seen.overdue {
        Move::GiveUp(waiting)
    } else {
        Move::Wait(waiting)
    }
}
