//! Where events go: archive, file, console, Kinesis.

pub mod kinesis;
