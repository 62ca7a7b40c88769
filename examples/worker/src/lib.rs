//! Reference worker and producer of the consumer contract, and the audit.
