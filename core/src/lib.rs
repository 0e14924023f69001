//! The pure part of trailhaul: everything that can be decided from bytes and numbers alone.
//!
//! ```text
//!  model ─ the nouns: accounts, object keys, records, journal entries
//!
//!  plan ──► decode ──► dedup ──► route ──► normalize ──► encode      verify
//!  what to   gunzip,    one of    which     raw, OCSF,    NDJSON      digests,
//!  read      hash,      each      sink      ECS           frames      chains
//!  next      split      event     gets it
//!           └──────────────────── mill ─────────────────────┘
//! ```
//!
//! Nothing here performs I/O, reads a clock or spawns anything: time and bytes are arguments. The agent
//! crate brings both.

pub mod decode;
pub mod dedup;
pub mod encode;
pub mod mill;
pub mod model;
pub mod normalize;
pub mod plan;
pub mod route;
pub mod verify;
