//! The ledger: what this agent remembers, in one embedded database in the state folder.
//!
//! In: journal entries that are about to be committed or are finished, and questions about objects and ids.
//! Out: durable transactions and answers. Invariant: the ledger is a *cache of the journal*: it is never ahead
//! of it but for the one prepared entry per lane, and everything in it can be rebuilt from the journal and
//! `index/`. Failure: an error stops the caller's lane; a database that cannot be read is refused at start,
//! naming the way out (`run --rebuild-ledger`).
//!
//! Sizes: about 150 bytes per object for `state.retention`, 40 bytes per event for `dedup.window`.

mod accounts;
mod error;
mod findings;
mod ids;
mod inventory;
mod lanes;
mod open;
mod tables;
mod transaction;

pub use accounts::AccountTotals;
pub use error::LedgerError;
pub use findings::Finding;
pub use ids::LaneIds;
pub use inventory::{InventoryRow, place_of};
pub use lanes::LaneState;
pub use open::{Gate, Ledger, LedgerOptions};
pub use transaction::{Finished, IdRows, RowVisitor};
