//! Writes a simulated organization to disk.

fn main() {}
