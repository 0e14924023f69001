//! The ledger: what this agent remembers, in one embedded database in the state folder.
//!
//! In: journal entries that are about to be committed or are finished, and questions about objects and ids.
//! Out: durable transactions and answers. Invariant: the ledger is a *cache of the journal*: it is never ahead
//! of it but for the one prepared entry per lane, and everything in it can be rebuilt from the journal and
//! `index/`. Failure: an error stops the caller's lane; a database that cannot be read is refused at start,
//! naming the way out (`run --rebuild-ledger`).
//!
//! What is to be said beside batches (verdicts, findings, acknowledgements, public keys) waits in the *outbox* of a
//! lane until it stands in that lane's journal. Findings, acknowledgements and keys hold from the moment in which
//! they are posted; a verdict holds when it is in the journal.
//!
//! One part is not in the journal and need not be: what digests say. Chains are walked again from the digests in
//! the buckets.
//!
//! Sizes: about 150 bytes per object for `state.retention`, 40 bytes per event for `dedup.window`.

mod accounts;
mod digests;
mod error;
mod findings;
mod held;
mod ids;
mod inventory;
mod keys;
mod lanes;
mod listen;
mod notes;
mod open;
mod outbox;
mod tables;
mod transaction;
mod waiting;

#[cfg(test)]
mod tests;

pub use accounts::AccountTotals;
pub use digests::{Awaited, BatchRow, ChainRow, DigestWriter, Expected, PendingRows, RowMark, VerdictCounts};
pub use error::LedgerError;
pub use findings::{Ack, Filter, Finding, FindingCounts, Found, NewFinding};
pub use held::{Held, Unhauled, UnhauledCounts, UnhauledPages};
pub use ids::LaneIds;
pub use inventory::{InventoryRow, place_of};
pub use lanes::LaneState;
pub use listen::Listener;
pub use notes::{Given, Said};
pub use open::{Gate, Ledger, LedgerOptions};
pub use outbox::Outgoing;
pub use transaction::{Finished, IdRows, RowVisitor};
pub use waiting::Waiting;
