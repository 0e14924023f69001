//! The embedded database, the journal and recovery.
