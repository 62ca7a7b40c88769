//! Child processes that never outlive the sandbox: where they are started, how they die with
//! it, and how they are ended in an orderly way. What the processes are is others' business.

mod ending;
mod guard;
mod spawner;

pub use ending::{end, signal};
pub use guard::{die_with_parent, guard, guarded, this_program};
pub use spawner::spawn;
