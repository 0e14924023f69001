//! The simulated organization of trailhaul: what its tests, its demo and its benchmarks haul.
//!
//! ```text
//!  org ──► delivery ──► tree ──► buckets/, truth.ndjson, trailhaul.yaml
//!          records      what was written,           │
//!                       byte for byte               ▼
//!                                     truth ──► model ──► compare ◄── an archive
//! ```
//!
//! In: a seed and a few numbers. Out: buckets as folders, and the truth about every record in them. The
//! crate knows nothing of trailhaul itself: it states from the outside what a correct haul delivers, so it
//! shares neither code nor mistakes with what it judges. The same options give the same bytes.

pub mod bulk;
pub mod compare;
pub mod config_yaml;
pub mod damage;
pub mod delivery;
pub mod digests;
pub mod emulator;
pub mod iam;
pub mod model;
pub mod org;
pub mod proxy;
pub mod records;
pub mod replay;
pub mod reread;
pub mod rng;
pub mod stream;
pub mod tamper;
pub mod time;
pub mod tree;
pub mod truth;
