//! From the stored bytes of an object to its records.
