//! The gate protocol: who may consume what, when the gate closes and opens, when the checkpoint
//! is taken, what the parties are told.
//!
//! Everything here is pure. [`decide()`] maps the stage that is known to be complete and what is
//! seen at the broker to the one next move; the engine carries moves out and knows no protocol,
//! and a model checker can drive the very same functions. Times come in as booleans ([`seen`]),
//! so the state space is finite. [`topology`] says what an effect asks of the broker.
//!
//! ```text
//!             bound (gate open)
//! X ──> gate ───────────────────> Q            normal flow
//!         │ alternate-exchange
//!         └──(no binding: closed)──> fanout ──> R   replay queue of the target
//!                                          └──> H   replay queue of the source
//! ```

pub mod abort;
pub mod decide;
pub mod moves;
pub mod names;
pub mod seen;
pub mod topology;
pub mod watch;

pub use decide::decide;
pub use moves::{Effect, Message, Move, Party, Waiting};
pub use names::Names;
pub use seen::{Fill, Line, Seen, TargetPod, Told};
