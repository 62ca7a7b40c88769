//! Deliberate mistakes in the decisions: the checker must find each.

use ms2m::api::{HandoffStage as Stage, UndoStep};
use ms2m::migration::handoff::{
    Effect, Fill, Message, Move, Party, Rules, Seen, TargetPod, Told, abort, decide,
};

use crate::migration::Decisions;
use crate::model::Setup;
use crate::reach::counterexample;

const EXACT: &str = "whoever serves is exact";
const COMPLETE: &str = "nothing is missing at the end";
const SEEN: &str = "the source goes after the target was seen";
const TOLD: &str = "a broken order is told";
const NOWHERE: &str = "no message is routed to nowhere";

fn is_found(what: &str, property: &'static str, change: impl FnOnce(&mut Setup)) {
    let mut setup = Setup::default();
    change(&mut setup);
    let way = counterexample(setup, property)
        .unwrap_or_else(|| panic!("the checker does not find this mistake: {what}"));
    println!("{what}: '{property}' does not hold, by the way\n{way}");
}

fn decisions(setup: &mut Setup) -> &mut Decisions {
    &mut setup.decisions
}

#[test]
fn closing_the_gate_before_the_replay_queues_are_bound() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        // The binding is left out.
        match decide(rules, stage, done, seen) {
            Move::Do(Effect::BindReplayQueues) => Move::Do(Effect::OpenGate),
            other => other,
        }
    }
    is_found("closing the gate before R is bound", NOWHERE, |setup| {
        decisions(setup).forward = forward;
    });
}

#[test]
fn opening_it_while_the_primary_queue_has_a_consumer() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        // Whoever is on the primary queue is taken to be on R.
        let mut seen = *seen;
        if (Stage::TargetSeen..=Stage::SourceRemoved).contains(&stage) {
            seen.replay.consumed |= seen.primary.consumed;
            seen.primary.consumed = false;
        }
        decide(rules, stage, done, &seen)
    }
    is_found(
        "opening the gate while the primary queue has a consumer",
        EXACT,
        |setup| decisions(setup).forward = forward,
    );
}

#[test]
fn opening_it_while_an_order_is_left_over() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        let mut seen = *seen;
        if stage == Stage::SourceRemoved && seen.replay.consumed {
            seen.target_told = Told::Nothing;
        }
        decide(rules, stage, done, &seen)
    }
    is_found(
        "opening the gate while an order to the target is left over",
        TOLD,
        |setup| {
            decisions(setup).forward = forward;
            setup.losses = 1;
        },
    );
}

#[test]
fn opening_it_on_abort_before_the_target_is_gone() {
    fn back(
        rules: Rules,
        stage: Stage,
        step: UndoStep,
        done: usize,
        seen: &Seen,
    ) -> Result<Move, UndoStep> {
        match step {
            UndoStep::RemoveTarget => Err(UndoStep::OntoHold),
            UndoStep::Dismantle if done == 0 => Ok(Move::Do(Effect::RemoveTarget)),
            step => abort::decide_back(rules, stage, step, done, seen),
        }
    }
    is_found(
        "opening the gate on abort before the target is gone",
        EXACT,
        |setup| decisions(setup).back = back,
    );
}

#[test]
fn checkpointing_before_the_queue_is_quiet() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        let mut seen = *seen;
        if stage == Stage::Closed {
            seen.primary.fill = Fill::Quiet;
        }
        decide(rules, stage, done, &seen)
    }
    is_found("a checkpoint before the queue is quiet", EXACT, |setup| {
        decisions(setup).forward = forward;
    });
}

#[test]
fn returning_before_the_replay_queue_is_quiet() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        let mut seen = *seen;
        if stage >= Stage::Reopened {
            seen.replay.fill = Fill::Quiet;
        }
        decide(rules, stage, done, &seen)
    }
    is_found("a return before R is quiet", EXACT, |setup| {
        decisions(setup).forward = forward;
    });
}

#[test]
fn committing_before_the_target_was_seen() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        match stage {
            Stage::SourceDiverted if seen.target == TargetPod::Present => {
                Move::Advance(Stage::Committing)
            }
            stage => decide(rules, stage, done, seen),
        }
    }
    is_found("a commit before the target was seen", SEEN, |setup| {
        decisions(setup).forward = forward;
    });
}

#[test]
fn opening_the_gate_while_source_and_target_are_both_there() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        match (stage, decide(rules, stage, done, seen)) {
            (Stage::TargetAttached, Move::Advance(_)) if done == 0 => Move::Do(Effect::OpenGate),
            (_, other) => other,
        }
    }
    is_found(
        "opening the gate while source and target are both there",
        EXACT,
        |setup| {
            decisions(setup).forward = forward;
            setup.losses = 1;
        },
    );
}

#[test]
fn leaving_the_sources_orders_to_a_target_of_the_same_name() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        match decide(rules, stage, done, seen) {
            Move::Do(Effect::Unsay) => Move::Advance(Stage::SourceRemoved),
            other => other,
        }
    }
    is_found("orders of the source that are left over", EXACT, |setup| {
        setup.rules.sequential = true;
        decisions(setup).forward = forward;
    });
}

#[test]
fn removing_the_source_before_its_checkpoint_is_sent() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        match decide(rules, stage, done, seen) {
            Move::Do(Effect::SendCheckpoint) => Move::Advance(Stage::Committing),
            other => other,
        }
    }
    is_found("a source that goes too early", SEEN, |setup| {
        setup.rules.sequential = true;
        decisions(setup).forward = forward;
    });
}

#[test]
fn restoring_again_after_something_was_taken_from_the_replay_queue() {
    fn forward(rules: Rules, stage: Stage, done: usize, seen: &Seen) -> Move {
        // The target is told before that is remembered.
        match (stage, decide(rules, stage, done, seen)) {
            (Stage::SourceRemoved, Move::Advance(Stage::TargetRestored))
                if seen.target_told == Told::Nothing =>
            {
                Move::Do(Effect::Tell(Party::Target, Message::StartReplay))
            }
            (_, other) => other,
        }
    }
    is_found("a second restore with R begun", COMPLETE, |setup| {
        setup.rules.sequential = true;
        setup.target_crashes = true;
        decisions(setup).forward = forward;
    });
}

#[test]
fn deleting_the_hold_queue_before_the_source_has_left_it() {
    fn back(
        rules: Rules,
        stage: Stage,
        step: UndoStep,
        done: usize,
        seen: &Seen,
    ) -> Result<Move, UndoStep> {
        match step {
            UndoStep::Return => Err(UndoStep::Dismantle),
            UndoStep::Dismantle => {
                let mut seen = *seen;
                seen.hold.consumed = false;
                abort::decide_back(rules, stage, step, done, &seen)
            }
            step => abort::decide_back(rules, stage, step, done, seen),
        }
    }
    is_found(
        "deleting H before the source has left it",
        COMPLETE,
        |setup| {
            decisions(setup).back = back;
            decisions(setup).delete_only_if_idle = false;
        },
    );
}
