//! What can go wrong while deciding about duplicates.

use crate::model::BatchId;

use super::segment::SegmentKey;

/// The cause behind a store that failed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a batch's records could not be decided about. The batch must be voided (or, for
/// [`DedupError::TooManyIds`] before the object's first record was decided, closed without that object).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DedupError {
    /// The batch holds as many new ids as one batch may.
    #[error(
        "a batch holds at most {limit} new records: close it before this object, or set the object aside"
    )]
    TooManyIds {
        /// [`super::MAX_BATCH_IDS`].
        limit: u32,
    },
    /// The ledger could not answer.
    #[error("read committed ids of {segment}")]
    Committed {
        /// The segment that was asked for.
        segment: SegmentKey,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The scratch space for tentative ids failed.
    #[error("use scratch space for the batch's ids")]
    Spill(#[source] BoxError),
    /// Whoever took the packed rows failed.
    #[error("write the batch's ids")]
    Output(#[source] BoxError),
    /// A row of the ledger is not made of whole entries in order.
    #[error("a row of committed ids of {segment} is damaged: rebuild the ledger from journal and index")]
    CorruptRow {
        /// The segment of the row.
        segment: SegmentKey,
    },
    /// A batch was decided about while another one was neither committed nor voided.
    #[error("batch {next} cannot begin while {running} is undecided")]
    OtherBatch {
        /// The batch whose ids are tentative.
        running: BatchId,
        /// The one that was offered.
        next: BatchId,
    },
    /// The batch's rows were already taken.
    #[error("the ids of batch {0} were already packed: no records can be added")]
    Sealed(BatchId),
}
