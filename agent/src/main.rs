//! The `trailhaul` program.

fn main() {}
