//! From the stored bytes of an object to its records.
//!
//! ```text
//!  stored bytes ─► gzip (one member, capped) ─► SHA-256 ─► split ─► validate, find fields ─► Chunk
//!                                                            └────► Damage (what is not a record)
//! ```
//!
//! In: the stored bytes of one source object, in pieces of any size. Out: chunks of whole raw records, each
//! on a line of its own, byte for byte as CloudTrail wrote it; and an [`Outcome`]: hash, sizes and damages.
//!
//! Invariants. Every delivered record is one valid JSON object in valid UTF-8, at most 128 levels deep.
//! Records in = good + the sum over the damages. What is whole is delivered, whatever comes after it.
//! Working memory is one chunk, [`DecodeLimits::record_bytes`] and [`WINDOW`], whatever the input: sizes that
//! the input claims (gzip's ISIZE, say) never drive an allocation.
//!
//! Not done here: the meaning of records. Only the positions of a few top-level fields are found.
//!
//! Failure: nothing here fails or panics. What cannot be read becomes a [`Damage`] with a reason, a place and
//! a bounded sample for the quarantine.

mod chunk;
mod damage;
mod field;
mod gzip;
mod limits;
mod mask;
mod object;
mod scan;
mod split;
mod strict;
mod time;
mod validate;

#[cfg(test)]
mod tests;

pub use chunk::{CHUNK_BYTES, CHUNK_RECORDS, Chunk, Fields, RecordSpan, Span};
pub use damage::{Damage, DamageReason};
pub use limits::{DecodeLimits, WINDOW};
pub use object::{ObjectDecoder, Outcome, Progress};
