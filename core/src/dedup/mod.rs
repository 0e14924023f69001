//! Which record is new, which is a duplicate and which is a conflict.
//!
//! In: the identities of a batch's records in list order, and the ids that earlier batches committed. Out: one
//! [`Decision`] per record, and the batch's own ids as packed rows for the ledger and for `index/`.
//!
//! Invariants:
//! * A record is a duplicate only of one with the same id *and* the same content that was decided before it
//!   in the same batch or committed within the window. The same id with other content is delivered, and said.
//! * Decisions depend on the candidates and on what was committed, never on what happens to be in memory.
//! * Memory is bounded: hot units by the window's budget; tentative ids by [`MAX_BATCH_IDS`] at 10 to 16 bytes
//!   each; scratch by a few MiB. Time is bounded too: however many contents share one id, a record costs
//!   one or two probes of a table, or a binary search in each row of one unit.
//!
//! Not here: who stores rows (the ledger, behind [`CommittedIds`]) and where spilled ids go ([`SpillStore`]).
//! On failure: an error says what could not be read; the batch has to be voided, nothing else is lost.
//!
//! ```text
//! candidate ─► place ─► segments to look in ─► units (segment, shard), each read once per call
//!                                                │ hot: hash table      │ cold: rows, searched in passing
//!                                                └────────► committed? ◄┘
//!                       tentative ids of this batch ─► decision, in list order
//! ```

mod entry;
mod error;
mod hot;
mod identity;
mod index;
mod occurrence;
mod segment;
mod sorted;
mod stores;
mod tentative;
mod units;
mod window;

#[cfg(test)]
mod model;

pub use entry::{ENTRY_LEN, Entry, MAX_ROW, entries};
pub use error::{BoxError, DedupError};
pub use identity::{Identity, IdentityHasher};
pub use index::{IndexDecoder, IndexEncoder, IndexError, IndexSummary};
pub use occurrence::{Occurrence, OccurrenceCounter};
pub use segment::{Place, SEGMENT_KEY_LEN, SegmentKey, Slot};
pub use stores::{CommittedIds, MAX_SHARD_BITS, MemorySpill, SpillStore, TakeRow, shard_of};
pub use tentative::MAX_BATCH_IDS;
pub use window::{Candidate, Decision, Window, WindowStats, Winner};
