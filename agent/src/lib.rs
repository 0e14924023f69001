//! trailhaul, the agent: everything that touches the outside world.
//!
//! The pure decisions live in `trailhaul-core`; this crate brings stores, sockets, clocks and the order of
//! the flow (`haul`). It is a library so that tests and benchmarks can drive its parts.

pub mod admin;
pub mod archive;
pub mod audit;
pub mod aws;
pub mod cli;
pub mod config;
pub mod discover;
pub mod haul;
pub mod ledger;
pub mod runtime;
pub mod sinks;
pub mod store;
pub mod tail;
pub mod telemetry;
