//! The moves of the protocol: effects, waits, and the words for them.

use std::fmt;

use crate::api::HandoffStage;

/// One of the two processes that can consume the pod's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The pod that moves.
    Source,
    /// Its copy.
    Target,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

/// What a party is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// Nothing that an application knows: it is ignored, by the contract. That it is taken shows
    /// that somebody reads the control queue.
    Ping,
    /// `START_REPLAY` with the party's own replay queue: H for the source, R for the target.
    StartReplay,
    /// `END_REPLAY`: back to the primary queue.
    EndReplay,
}

/// Something that is done to the world. Each may be repeated without harm at the moment at which
/// [`super::decide()`] asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Declare `fanout`, and `gate` with `fanout` as its alternate exchange.
    DeclareExchanges,
    /// Declare R and H.
    DeclareReplayQueues,
    /// Bind R and H to `fanout`.
    BindReplayQueues,
    /// Bind Q to `gate`: the gate is open.
    OpenGate,
    /// Bind `gate` to X, beside Q.
    LeadThroughGate,
    /// Unbind Q from X: from now on only the gate leads to it.
    CutDirectWay,
    /// Unbind Q from `gate`: the gate is closed.
    CloseGate,
    /// Bind R to X, beside Q.
    MirrorReplay,
    /// Unbind R from X.
    UnmirrorReplay,
    /// Checkpoint the source.
    Checkpoint,
    /// Pack and send the checkpoint, and see that the target node has the base image.
    SendCheckpoint,
    /// Pack and send the checkpoint unless that was done, and start the target from it.
    StartTarget,
    /// Tell a party something.
    Tell(Party, Message),
    /// Give the target the source's place in the cluster and remove the source pod.
    RemoveSource,
    /// Remove the target pod.
    RemoveTarget,
    /// Take back what the source was told and has not read.
    Unsay,
    /// Move what is in H to Q, in its order, and open the gate the moment that H is empty.
    PutBack,
    /// Bind Q to X again.
    RestoreDirectWay,
    /// Unbind `gate` from X.
    LeadPastGate,
    /// Delete `gate` and `fanout`.
    DeleteExchanges,
    /// Delete R and H and the control queue of the party that is gone.
    DeleteReplayQueues,
}

impl Effect {
    /// Whether it counts as done once it was carried out. Orders do not: whether they are needed
    /// again follows from what is seen.
    #[must_use]
    pub fn is_counted(self) -> bool {
        !matches!(self, Self::Tell(..))
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The source reads its control queue.
    SourceListens,
    /// The source pod is there.
    SourceThere,
    /// The source empties the primary queue.
    PrimaryQuiet,
    /// The source consumes H, and nobody the primary queue.
    SourceOnHold,
    /// The target pod is there.
    TargetThere,
    /// The target connects to the broker and consumes the primary queue.
    TargetConnects,
    /// The target listens on the control queue of its own pod.
    TargetListens,
    /// The target consumes R.
    TargetOnReplay,
    /// What waits in R is short enough.
    ReplayShort,
    /// Nobody consumes the primary queue.
    PrimaryUnconsumed,
    /// The target empties R.
    ReplayQuiet,
    /// The target consumes the primary queue, and nobody R.
    TargetOnPrimary,
    /// The target's consumers are gone.
    TargetGone,
    /// The source empties H.
    HoldQuiet,
    /// The source consumes the primary queue, and nobody H.
    SourceOnPrimary,
}

impl Waiting {
    /// Whether it comes about by itself as long as the party works, however long it takes.
    #[must_use]
    pub fn is_unbounded(self) -> bool {
        matches!(
            self,
            Self::ReplayShort | Self::ReplayQuiet | Self::HoldQuiet
        )
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceListens => "the source to read its control queue",
            Self::SourceThere => "the source pod to be there",
            Self::PrimaryQuiet => "the source to finish what is left in the primary queue",
            Self::SourceOnHold => {
                "the source to consume its replay queue and leave the primary queue"
            }
            Self::TargetThere => "the target pod to be there",
            Self::TargetConnects => "the target to connect and consume the primary queue",
            Self::TargetListens => "the target to listen on its own control queue",
            Self::TargetOnReplay => "the target to consume its replay queue",
            Self::ReplayShort => "the target to catch up",
            Self::PrimaryUnconsumed => "the primary queue to have no consumer",
            Self::ReplayQuiet => "the target to finish its replay queue",
            Self::TargetOnPrimary => "the target to consume the primary queue",
            Self::TargetGone => "the target's consumers to be gone",
            Self::HoldQuiet => "the source to finish its replay queue",
            Self::SourceOnPrimary => "the source to consume the primary queue again",
        })
    }
}

/// The next move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Do this, then decide again.
    Do(Effect),
    /// Remember that this stage is complete, then decide again. Must be remembered before
    /// anything else is done.
    Advance(HandoffStage),
    /// Look again after a while.
    Wait(Waiting),
    /// The wait took too long, or what is seen cannot be gone on with.
    GiveUp(Waiting),
    /// Nothing is left to do.
    Done,
}
