//! The four kinds of patch, each a function from an object to an object, and the bookkeeping
//! of field owners.

pub(crate) mod apply;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod managed;
pub(crate) mod merge;
pub(crate) mod strategic;
