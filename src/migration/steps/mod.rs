//! One file a step.
