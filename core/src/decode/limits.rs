//! The bounds of decoding. Every one exists because the input may be hostile.

/// How many bytes are inflated at a time: small enough to stay in the second-level cache while they are
/// hashed and split, large enough that what each window costs (inflate's own copy of 32 KiB, a record cut by
/// its end) hardly counts. Measured: 32 KiB costs 5% of the mill, 128 KiB 1%.
pub const WINDOW: usize = 256 * 1024;

/// How deeply a record may nest; `CloudTrail`'s own stay below twenty, and the same bound is `serde_json`'s.
pub(super) const MAX_DEPTH: u32 = 128;

/// How much of an object is read. There is no bound on the compression ratio: whoever writes long repetitive
/// request parameters makes `CloudTrail` log files of any ratio that deflate can reach, and those are logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most bytes that one object may inflate to. `CloudTrail`'s own bound is 50 MB.
    pub inflated_bytes: u64,
    /// The most bytes of one record, its reflowed white space included. `CloudTrail`'s own bound is 256 KB,
    /// or 1 MB in event data stores.
    pub record_bytes: usize,
    /// The most records delivered from one object; the rest is counted as damage.
    pub records: u32,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { inflated_bytes: 2 << 30, record_bytes: 4 << 20, records: 2_000_000 }
    }
}
