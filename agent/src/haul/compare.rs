//! Comparing objects with the hash that a proven digest expects, before anything of them is delivered.
//!
//! In: the objects of a batch, in `hold`. Out: those to be hauled, each with what is to be compared, and those whose
//! content is another. Invariant: what is compared is what is delivered: both readings are under one ETag. Failure:
//! an object that cannot be read is set aside.
//!
//! Small objects (at most one piece of a fetch, 256 KiB, which is in memory anyway) are compared in the batch; larger
//! ones are read twice, the first time for their hash alone, with constant memory.

use std::collections::HashMap;

use trailhaul_core::model::ObjectRef;
use trailhaul_core::verify::{Class, LogContent, LogHasher, LogOutcome, Sha256};

use super::fetch::Fetcher;
use crate::store::{MAX_PIECE, ReadError};

/// What a digest expects of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// This hash: still to be compared.
    Hash(Sha256),
    /// Compared already: it is as it should be.
    Met,
}

/// What digests expect of a batch's objects; bounded by the batch.
pub type Expectations = HashMap<ObjectRef, Expectation>;

/// An object whose content is not what its proven digest says.
#[derive(Debug, Clone)]
pub struct Mismatch {
    /// The object.
    pub object: ObjectRef,
    /// What the digest says.
    pub expected: Sha256,
    /// What it is.
    pub content: LogContent,
}

/// Whether an object is small enough to be compared in memory.
pub(super) fn is_small(object: &ObjectRef) -> bool {
    object.size <= MAX_PIECE as u64
}

/// Whether this content is the expected one. A copy that is stored inflated counts: its bytes are the digested ones.
pub(super) fn matches(content: &LogContent, expected: Sha256) -> bool {
    LogOutcome::of(content, expected).class() == Class::Good
}

/// The content of bytes that are in memory, at most `cap` of it inflated.
pub(super) fn content_of(bytes: &[u8], cap: u64) -> LogContent {
    let mut hasher = LogHasher::new(cap);
    hasher.push(bytes);
    hasher.finish()
}

/// Reads an object for its hash alone.
pub(super) async fn read_content(
    fetcher: &Fetcher,
    object: &ObjectRef,
    cap: u64,
) -> Result<LogContent, ReadError> {
    let mut reader = fetcher.open(object).await?;
    let mut hasher = LogHasher::new(cap);
    while let Some(piece) = reader.next().await? {
        hasher.push(&piece);
    }
    Ok(hasher.finish())
}
