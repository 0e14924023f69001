//! How much memory a configuration needs: the figure that `limits.memory` is held against.

use super::Config;

/// The least `limits.memory` in bytes with which this configuration can run.
///
/// The stages know what they hold; the run sums it up here.
pub fn memory_needed(config: &Config) -> u64 {
    // One record of the largest size must fit whole, in and out, beside the process itself.
    let base: u64 = 16 << 20;
    let sinks = u64::try_from(config.sinks.len()).unwrap_or(u64::MAX);
    base.saturating_add(config.limits.record_size.saturating_mul(sinks.saturating_add(1)))
}
