//! Which event goes to which sink.
