//! What a pod tells of its broker and its queue, for whoever has agreed to have it looked up.
//!
//! Pure: variables of an environment, consumers and bindings → settings, each with where it was found,
//! or why it cannot be said. Nothing is guessed: of two possibilities neither is taken. What gathers
//! the facts is in the adapters, and who may be asked is decided in `cli`.

mod broker;
mod queue;

pub use broker::broker;
pub use queue::{Bound, binding, queue};

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What.
    pub value: T,
    /// Where: ends the sentence 'found in …'. Holds no secret.
    pub place: String,
}

/// Why something cannot be said. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// There is nothing like it.
    Nothing,
    /// There is more than one, a line each.
    Several(Vec<String>),
}
