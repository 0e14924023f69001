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
    AckEntry, AckNote, BatchEntry, Books, DigestRef, Dropped, ENTRY_FORMAT, Entry, EntryBody, EntryError,
    EpochEntry, FindingEntry, FindingNote, JudgedObject, KeyEntry, KeyNote, MAX_CAUSE, MAX_DETAILS,
    MAX_ENTRY_BYTES, MAX_JUDGED, MAX_NOTE_BYTES, MAX_NOTES_BYTES, MAX_RANGES, MAX_SHORT, MAX_SUBJECT,
    MAX_TEXT, Note, ObjectEntry, Output, PartRecord, Place, RESERVED_KINDS, Role, SinkBooks, Verdict,
    VerdictEntry, VerdictNote, VoidEntry, entry_of, finding_id, notes_of, sha256_hex,
};
pub use ids::{AccountId, BatchId, IdError, LaneId, OrganizationId, lane_of};
pub use key::{Family, KeyError, LogKey, Stamp};
pub use object::{ObjectRef, StreamKey};
