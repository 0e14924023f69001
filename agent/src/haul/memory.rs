//! How `limits.memory` is shared out.
//!
//! ```text
//!  limits.memory = fixed and    + queues     + ledger cache + hot segments + working sets
//!                  listings
//!                  4 MiB and a    4 MiB and    4 MiB and      2 MiB and      one at least; as many
//!                  thirty-second  a sixteenth  an eighth      an eighth      lanes work at once as fit
//!                  of the spare   of the spare of the spare   of the spare
//! ```
//!
//! A lane takes its whole working set as one permit before it begins a batch and waits for nothing else that
//! is bounded while it holds it, so that lanes never wait for each other in a circle.

use trailhaul_core::encode::parquet::OPEN;

use super::engine::MemoryPlan;
use super::fetch::FETCH_MEMORY;

const MIB: u64 = 1 << 20;

/// The least listing pages, counters, the entry being drawn up: what does not grow with `limits.memory`.
const FIXED: u64 = 4 * MIB;
/// A page of a listing: a thousand keys of some 150 bytes, as text and taken apart.
const PAGE: u64 = 300 * 1024;
/// Listing pages that the fixed part has room for, of all tails together.
const PAGES: u64 = 8;
/// No more than this many listings at once are useful: they come before the GETs that they cause.
const PAGES_MOST: u64 = 64;
/// The least for the objects that wait in the queues of all lanes.
const QUEUES: u64 = 4 * MIB;
/// One waiting object, with its names.
const QUEUED: u64 = 800;
/// No more than this many objects wait in one lane's queue: a batch takes no more.
const QUEUED_MOST: u64 = 16_384;
/// The least that the ledger's cache works well with.
const LEDGER: u64 = 4 * MIB;
/// The least for the hot segments of all lanes.
const WINDOWS: u64 = 2 * MIB;
/// No more than this is useful for the ledger's cache.
const LEDGER_MOST: u64 = 512 * MIB;
/// A chunk with its table of records, candidates and decisions.
const CHUNK: u64 = 6 * MIB;
/// Ids of a batch before it is closed for having many, the buffer of the scratch space, quarantine lines.
const TENTATIVE: u64 = 6 * MIB;
/// A sink's frame, the buffers that it is made in, and the compressor's tables.
const SINK: u64 = 7 * MIB;

/// For a sink in Parquet besides: the lines that wait, their columns while a row group is made, the encoder's
/// pages, and the files that are ended at once.
const LAKE: u64 = 24 * MIB;

/// What the memory is needed for.
#[derive(Debug, Clone, Copy)]
pub struct MemoryNeeds {
    /// Sinks.
    pub sinks: u64,
    /// The largest part size of their stores, in bytes.
    pub part: u64,
    /// The largest record, in bytes.
    pub record: u64,
    /// The table of accounts, in bytes.
    pub accounts: u64,
    /// Of the sinks, those that write Parquet files.
    pub lakes: u64,
    /// Of the sinks, those that may refuse records.
    pub refusing: u64,
}

impl MemoryNeeds {
    /// One lane's working set, in bytes.
    pub fn working_set(&self) -> u64 {
        // Each sink's, the index and the quarantine, and lines about what a sink refuses. Of a lake, each unfinished
        // file has a part, and those that are ended share the sink's.
        let outputs = self.sinks + 2 + self.refusing + self.lakes * OPEN as u64;
        let lakes = self.lakes * LAKE;
        lakes
            + CHUNK
            + TENTATIVE
            + FETCH_MEMORY as u64
            + self.record
            + self.sinks * SINK
            + outputs * self.part
    }

    /// The least `limits.memory` that works, in bytes.
    pub fn least(&self) -> u64 {
        FIXED + self.accounts + QUEUES + LEDGER + WINDOWS + self.working_set()
    }

    /// Shares out `total` bytes; `None` when that is less than [`MemoryNeeds::least`]. The second figure is
    /// the ledger's cache.
    pub fn share(&self, total: u64, lanes: u16) -> Option<(MemoryPlan, usize)> {
        let spare = total.checked_sub(self.least())?;
        let ledger = (LEDGER + spare / 8).min(LEDGER_MOST);
        let windows = WINDOWS + spare / 8;
        let queues = QUEUES + spare / 16;
        let more_pages = (spare / 32 / PAGE).min(PAGES_MOST - PAGES);
        let lanes = u64::from(lanes.max(1));
        let plan = MemoryPlan {
            working_sets: total - FIXED - self.accounts - queues - ledger - windows,
            working_set: self.working_set(),
            window: usize::try_from(windows / lanes).unwrap_or(usize::MAX),
            pages: usize::try_from(PAGES + more_pages).unwrap_or(8),
            queue: usize::try_from((queues / lanes / QUEUED).clamp(64, QUEUED_MOST)).unwrap_or(usize::MAX),
        };
        Some((plan, usize::try_from(ledger).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_never_exceed_the_whole() {
        let needs =
            MemoryNeeds { sinks: 2, part: 5 * MIB, record: 4 * MIB, accounts: 1_000, lakes: 1, refusing: 1 };
        assert!(needs.share(needs.least() - 1, 16).is_none());
        for total in [needs.least(), 64 * MIB, 256 * MIB, 16 << 30] {
            let Some((plan, ledger)) = needs.share(total, 16) else { continue };
            assert!((8..=64).contains(&plan.pages));
            let sum = FIXED
                + (plan.pages as u64 - PAGES) * PAGE
                + ledger as u64
                + 16 * plan.window as u64
                + plan.working_sets;
            assert!(sum <= total && plan.working_sets >= plan.working_set, "{total}");
        }
    }

    #[test]
    fn a_folder_with_one_sink_fits_64_mib() {
        let needs = MemoryNeeds { sinks: 1, part: MIB, record: 4 * MIB, accounts: 0, lakes: 0, refusing: 0 };
        assert!(needs.least() <= 64 * MIB, "{}", needs.least());
    }
}
