//! The nouns that every stage speaks of. Each is parsed once, at the edge, and cannot be wrong afterwards.
//!
//! In: text from outside (keys, ids, stamps). Out: types whose invariants the constructors have checked.
//! A value that does not parse is an error that names what was expected; nothing here guesses.

mod entry;
mod ids;
pub mod json;
mod key;
mod object;

pub use entry::{
    BatchEntry, Books, Dropped, ENTRY_FORMAT, Entry, EntryBody, EntryError, EpochEntry, MAX_ENTRY_BYTES,
    MAX_RANGES, ObjectEntry, Output, PartRecord, Place, RESERVED_KINDS, Role, SinkBooks, Verdict, VoidEntry,
    sha256_hex,
};
pub use ids::{AccountId, BatchId, IdError, LaneId, OrganizationId};
pub use key::{Family, KeyError, LogKey, Stamp};
pub use object::{ObjectRef, StreamKey};
