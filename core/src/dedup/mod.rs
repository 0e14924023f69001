//! Which record is new, a duplicate or a conflict.
