//! From records to events: what must have happened since the last one that was seen. Phases that
//! were passed between two looks are told in their order. Pure.

use std::collections::BTreeSet;

use super::end;
use crate::api::{HandoffStage, Phase, Strategy, UndoStep, conditions};
use crate::migration::event::EventKind;
use crate::migration::record::Record;
use crate::migration::summary::{TIMED_PHASES, phase_seconds};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Tale {
    begun: bool,
    started: BTreeSet<Phase>,
    finished: BTreeSet<Phase>,
    /// Conditions that hold, by type.
    conditions: BTreeSet<String>,
    stage: HandoffStage,
    committed: bool,
    undoing: bool,
    undo: UndoStep,
    stuck: bool,
    /// Why it is not begun yet.
    waits: Option<String>,
    ended: bool,
}

/// The phase that a condition belongs to.
const CONDITIONS: [(&str, Phase); 4] = [
    (conditions::ACCEPTED, Phase::Pending),
    (conditions::CHECKPOINTED, Phase::Checkpointing),
    (conditions::RESTORED, Phase::Restoring),
    (conditions::CAUGHT_UP, Phase::Replaying),
];

impl Tale {
    /// What has happened since the last record.
    pub(super) fn next(&mut self, record: &Record) -> Vec<EventKind> {
        let mut events = Vec::new();
        if !self.begun && record.is_begun() {
            self.begun = true;
            events.push(started(record));
        }
        if self.begun {
            self.phases(record, &mut events);
            self.handoff(record, &mut events);
        }
        self.waiting(record, &mut events);
        let stuck = record.status.condition_holds(conditions::STUCK);
        if stuck && !self.stuck {
            events.push(EventKind::UndoFailed {
                what: "the roll-back is stuck".to_owned(),
                cause: message(record),
            });
        }
        self.stuck = stuck;
        if !self.ended
            && let Some(end) = end::of(record)
        {
            self.ended = true;
            events.push(match end {
                Ok(summary) => EventKind::Completed {
                    summary: Box::new(summary),
                },
                Err(error) => EventKind::Failed {
                    error: Box::new(error),
                },
            });
        }
        events
    }

    /// Why it is not begun yet.
    fn waiting(&mut self, record: &Record, events: &mut Vec<EventKind>) {
        let accepted = record.status.conditions.iter().find(|condition| {
            condition.type_ == conditions::ACCEPTED && condition.status == "Unknown"
        });
        let waits = accepted.map(|condition| condition.message.clone());
        if waits != self.waits
            && let Some(message) = &waits
        {
            events.push(EventKind::Warning {
                message: message.clone(),
            });
        }
        self.waits = waits;
    }

    fn phases(&mut self, record: &Record, events: &mut Vec<EventKind>) {
        let status = &record.status;
        let timings = phase_seconds(&status.phase_timings);
        let current = status.phase.unwrap_or_default();
        let last = timings.iter().map(|(phase, _)| *phase).max();
        let undoing = current == Phase::Failed
            || status
                .handoff
                .as_ref()
                .is_some_and(|handoff| handoff.aborting);
        for phase in TIMED_PHASES {
            let seconds = timings.iter().find(|(other, _)| *other == phase);
            if (seconds.is_some() || phase == current) && self.started.insert(phase) {
                events.push(EventKind::PhaseStarted { phase });
            }
            self.steps(record, phase, events);
            // The phase that it failed in is not done, though it has its time.
            let failed_here = phase == current || (current.is_final() && last == Some(phase));
            if undoing && failed_here && !self.undoing {
                self.undoing = true;
                let reason = message(record);
                events.push(EventKind::UndoStarted { reason });
            }
            if let Some((_, seconds)) = seconds
                && phase != current
                && self.finished.insert(phase)
            {
                let seconds = *seconds;
                events.push(EventKind::PhaseFinished { phase, seconds });
            }
        }
    }

    /// What the conditions of a phase say.
    fn steps(&mut self, record: &Record, phase: Phase, events: &mut Vec<EventKind>) {
        for condition in &record.status.conditions {
            let belongs = CONDITIONS.contains(&(condition.type_.as_str(), phase));
            if belongs
                && condition.status == "True"
                && self.conditions.insert(condition.type_.clone())
            {
                let what = condition.message.clone();
                events.push(EventKind::Step { phase, what });
            }
        }
    }

    fn handoff(&mut self, record: &Record, events: &mut Vec<EventKind>) {
        let Some(handoff) = &record.status.handoff else {
            return;
        };
        let phase = record.status.phase.unwrap_or_default();
        if handoff.stage != self.stage {
            self.stage = handoff.stage;
            if let Some(what) = stage_words(handoff.stage)
                && !phase.is_final()
                && !handoff.aborting
            {
                let queue = &record.spec.message_queue_config.queue_name;
                let what = what.replace("QUEUE", queue);
                events.push(EventKind::Step { phase, what });
            }
        }
        if handoff.stage.is_committed() && !handoff.aborting && !self.committed {
            self.committed = true;
            events.push(EventKind::Committed);
        }
        if !handoff.aborting {
            return;
        }
        for (step, what) in UNDONE {
            if self.undo <= step && step < handoff.undo {
                events.push(EventKind::Undone {
                    what: what.to_owned(),
                });
            }
        }
        self.undo = self.undo.max(handoff.undo);
    }
}

/// What is undone once the step after it has begun. That something is put back is done only where
/// it has to be, so it is not told.
const UNDONE: [(UndoStep, &str); 4] = [
    (UndoStep::RemoveTarget, "the target is removed"),
    (
        UndoStep::OntoHold,
        "the source has what was published meanwhile",
    ),
    (UndoStep::Reopen, "the gate is open again"),
    (UndoStep::Return, "the source is back on its queue"),
];

fn started(record: &Record) -> EventKind {
    let status = &record.status;
    let back = status
        .handoff
        .as_ref()
        .is_some_and(|handoff| handoff.aborting)
        && record.is_unfinished();
    let container = status
        .container
        .as_ref()
        .or(record.spec.container_name.as_ref());
    let to = status
        .target_node
        .as_ref()
        .or(record.spec.target_node.as_ref());
    EventKind::Started {
        namespace: record.namespace.clone(),
        pod: record.spec.source_pod.clone(),
        container: container.cloned().unwrap_or_default(),
        from: status.source_node.clone().unwrap_or_default(),
        to: to.cloned().unwrap_or_default(),
        target_pod: status.target_pod.clone().unwrap_or_default(),
        strategy: status.strategy.unwrap_or(Strategy::ShadowPod),
        resumed: back,
        back,
    }
}

fn message(record: &Record) -> String {
    let message = record.status.message.clone();
    message.unwrap_or_else(|| "its record does not say why".to_owned())
}

/// What a stage means to a person; `QUEUE` stands for the queue's name.
fn stage_words(stage: HandoffStage) -> Option<&'static str> {
    Some(match stage {
        HandoffStage::Closed | HandoffStage::CutoverClosed => "gate closed on queue QUEUE",
        HandoffStage::SourceDiverted => "the source serves from its replay queue",
        HandoffStage::TargetAttached => "the target consumes its replay queue",
        HandoffStage::SourceRemoved => "the source is gone",
        HandoffStage::Reopened => "gate open on queue QUEUE",
        HandoffStage::TargetServes => "the target consumes queue QUEUE",
        _ => return None,
    })
}
