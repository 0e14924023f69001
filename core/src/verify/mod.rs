//! CloudTrail's digest files: grammar, signatures, chains and completeness.
//!
//! ```text
//!  key ──► name      which chain an object belongs to, and which hour
//!  bytes ► inflate ► document ─┐
//!  keys (ListPublicKeys) ──────┴► examine    one digest: proven, or a fault
//!                                    │
//!                                    ▼
//!                                  chain     links between digests, hours covered and hours missing
//!                                    ▼
//!                                  track     the same while it grows, kept small and written down
//!  log bytes ► LogHasher ─────────────────►  compared with the hash that a proven digest names
//! ```
//!
//! In: object keys, stored bytes, user metadata, public keys, the time. Out: an outcome per digest, per log
//! file and per interval of time ([`DigestFault`], [`LogOutcome`], [`Coverage`]).
//!
//! Invariants: a digest is *proven* only by a signature of a key of its own region, or by the SHA-256 that a
//! proven successor names; nothing that an unproven digest says is acted upon; only one gzip member is read,
//! and bytes after it are a fault. Inflated digests are capped at [`MAX_DIGEST`], logs at a cap of the
//! caller's choice and never held in memory.
//!
//! Not here: reading objects, asking for keys, deciding what to do about a finding. On failure: a fault names
//! what is wrong; no input panics.
//!
//! Sources: CloudTrail User Guide, "CloudTrail digest file structure" and "Custom implementations of
//! CloudTrail log file integrity validation"; the behaviour of `aws cloudtrail validate-logs` 1.46.3.

mod chain;
mod der;
mod document;
mod examine;
mod gzip;
mod hash;
mod inflate;
mod key_list;
mod keys;
mod name;
mod outcome;
mod pair;
mod settle;
mod signature;
mod survey;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod track;
#[cfg(test)]
mod track_tests;

pub use chain::{Chain, ChainEvent, Link, MAX_NODES, Place, Previous, Seen};
pub use document::{Digest, DigestLog, DocumentError};
pub use examine::{Examined, Expected, SignatureMetadata, StoredDigest, examine, examine_within};
pub use hash::Sha256;
pub use inflate::{Form, FormatFault, InflatedDigest, LogContent, LogHasher, MAX_DIGEST, inflate_digest};
pub use key_list::{KeyListError, parse_public_keys, write_public_keys};
pub use keys::{KeyChoice, KeyEncoding, KeyRing, PublicKey};
pub use name::{ChainId, ChainKind, DigestKey, DigestKeyError};
pub use outcome::{Class, DigestFault, LogOutcome};
pub use pair::PairHasher;
pub use signature::{SignatureError, string_to_sign, verify_signature};
pub use survey::{CADENCE, Coverage, Interval, Scope, Survey};
pub use track::{Fault, Followed, Problem, ProblemKind, Review, Track, TrackRules};
