//! The gate protocol: who may consume what, when the gate closes and opens, when the checkpoint
//! is taken, what the parties are told.
//!
//! Everything here is pure. [`decide()`] maps the stage that is known to be complete and what is
//! seen at the broker to the one next move; the engine carries moves out and knows no protocol,
//! and a model checker drives the very same functions (`tests/model`). Times come in as booleans
//! ([`seen`]), so the state space is finite. [`topology`] says what an effect asks of the broker.
//!
//! ```text
//!             bound (gate open)
//! X ──> gate ───────────────────> Q            normal flow
//!         │ alternate-exchange
//!         └──(no binding: closed)──> fanout ──> R   replay queue of the target
//!                                          └──> H   replay queue of the source
//! ```
//!
//! - [`decide`](mod@decide) leads forward, from the untouched broker to the target serving.
//! - `mirror` has the stages that the handoff `Mirror` has of its own.
//! - `alone` leads forward once the source is gone.
//! - [`abort`]: the way back.
//! - [`headway`]: how long messages are put back where no way leads through a party.
//! - `parties` gets one party onto a queue and off it, which all of them need.

pub mod abort;
mod alone;
pub mod decide;
pub mod headway;
mod mirror;
pub mod moves;
pub mod names;
mod parties;
pub mod pauses;
mod rate;
pub mod seen;
pub mod topology;
pub mod watch;

pub use decide::{Rules, decide, needs_look};
pub use moves::{Effect, Message, Move, Party, Waiting};
pub use names::Names;
pub use parties::out_of_turn;
pub use seen::{Fill, Line, Seen, TargetPod, Told};
