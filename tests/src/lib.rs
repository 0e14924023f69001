//! The simulated organization of trailhaul: what its tests, its demo and its benchmarks haul.

pub mod emulator;
pub mod proxy;
