//! The operator's tool and its engine; see README.md.
