//! The archive: where things stand below its prefix, and its genesis.
//!
//! ```text
//! data/date=YYYY-MM-DD/LANE-EPOCH-BATCH.ndjson.zst   what readers glob
//! index/LANE-EPOCH-BATCH.ids                          the ids of each batch
//! findings/date=YYYY-MM-DD/LANE-EPOCH-BATCH.ndjson.zst records of findings, where the sink asks for them
//! quarantine/date=YYYY-MM-DD/LANE-EPOCH-BATCH.ndjson  what could not be read as a record
//! journal/genesis                                     created once, by a conditional write
//! journal/LANE/NUMBER.json                            one folder per lane
//! ```
//!
//! In: a store and a prefix. Out: keys, the genesis, the journal. Invariant: nothing under `data/` that no
//! journal entry names. Failure: a genesis that disagrees with the configuration is refused.

mod genesis;
mod journal;
mod layout;

pub use genesis::{Genesis, GenesisError};
pub use journal::{Appended, Journal, JournalError};
pub use layout::Layout;
pub use trailhaul_core::model::lane_of;
