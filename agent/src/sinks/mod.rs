//! Where events go: archive, file, console, Kinesis.
