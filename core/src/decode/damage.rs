//! What could not be read, in a bounded list.
//!
//! In: damages as the decoder meets them, in order. Out: at most [`MAX_DAMAGES`] entries; neighbours with the
//! same reason are one entry with a count, and when the list is full one last entry ([`DamageReason::Further`])
//! stands for the rest. Invariant: the counts always add up to every record that was not delivered. Samples
//! are bounded per entry and per object.

use std::ops::Range;

/// Why bytes are not records. The labels are stable: they name metrics and quarantine entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageReason {
    /// The object holds no byte, or inflates to none but white space.
    Empty,
    /// Neither gzip nor JSON.
    NotGzip,
    /// The gzip header or the deflate data is wrong from here on.
    CorruptGzip,
    /// The object ends in the middle.
    Truncated,
    /// Bytes follow the first gzip member, or the JSON document. They are covered by no digest.
    TrailingData,
    /// The inflated bytes do not have the CRC or size that gzip's trailer says.
    Checksum,
    /// The object inflates to more than the limit.
    InflatedTooLarge,
    /// The document is not JSON from here on, so that no further record can be told apart.
    NotJson,
    /// A JSON document, but neither `{"Records":[…]}` nor `[…]`.
    NotALog,
    /// A member other than `Records` at the top of the document; stands for no record.
    OtherMember,
    /// One element of the array is not a JSON object, not valid JSON, not UTF-8, or nested too deeply.
    BadRecord,
    /// One record is larger than the limit.
    RecordTooLarge,
    /// Records beyond the limit for one object.
    TooManyRecords,
    /// The list of damages was full; this entry stands for all later ones.
    Further,
}

impl DamageReason {
    /// The stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotGzip => "not_gzip",
            Self::CorruptGzip => "corrupt_gzip",
            Self::Truncated => "truncated",
            Self::TrailingData => "trailing_data",
            Self::Checksum => "checksum",
            Self::InflatedTooLarge => "inflated_too_large",
            Self::NotJson => "not_json",
            Self::NotALog => "not_a_log",
            Self::OtherMember => "other_member",
            Self::BadRecord => "bad_record",
            Self::RecordTooLarge => "record_too_large",
            Self::TooManyRecords => "too_many_records",
            Self::Further => "further",
        }
    }
}

/// Bytes that are not delivered, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Why.
    pub reason: DamageReason,
    /// How many records it stands for: exact where records could be told apart, 1 where that is unknown, and
    /// 0 where the damage is the object's and no record is missing.
    pub records: u32,
    /// The number, within the object, of the first record that it stands for.
    pub first: u32,
    /// Where it is, in inflated bytes; empty, at the end, where it is not in them (bytes after the member).
    pub bytes: Range<u64>,
    /// The beginning of the damaged bytes.
    pub sample: Vec<u8>,
}

/// At most this many entries per object; the last one is the summary.
pub(super) const MAX_DAMAGES: usize = 64;
/// At most this many sample bytes per entry, so that one damage does not use up the object's allowance.
pub(super) const MAX_SAMPLE: usize = 64 * 1024;
/// At most this many sample bytes per object, the bound of what the quarantine keeps.
pub(super) const MAX_SAMPLES: usize = 256 * 1024;

/// The damages of one object.
#[derive(Debug, Default)]
pub(super) struct Damages {
    list: Vec<Damage>,
    sampled: usize,
    records: u32,
}

impl Damages {
    /// Notes a damage of `records` records at `bytes`, whose content starts with `sample`.
    pub(super) fn add(
        &mut self,
        reason: DamageReason,
        first: u32,
        records: u32,
        bytes: Range<u64>,
        sample: &[u8],
    ) {
        self.records = self.records.saturating_add(records);
        let full = self.list.len() >= MAX_DAMAGES;
        let nearly = self.list.len() + 1 >= MAX_DAMAGES;
        if let Some(last) = self.list.last_mut() {
            let adjoins = last.reason == reason && last.first.saturating_add(last.records) == first;
            if full || (adjoins && records > 0) {
                last.records = last.records.saturating_add(records);
                last.bytes.end = last.bytes.end.max(bytes.end);
                self.sample_last(sample);
                return;
            }
        }
        let reason = if nearly { DamageReason::Further } else { reason };
        self.list.push(Damage { reason, records, first, bytes, sample: Vec::new() });
        self.sample_last(sample);
    }

    /// Lets the last damage reach to `end`, with more of its bytes.
    pub(super) fn extend_last(&mut self, end: u64, sample: &[u8]) {
        if let Some(last) = self.list.last_mut() {
            last.bytes.end = last.bytes.end.max(end);
        }
        self.sample_last(sample);
    }

    /// Sample bytes that the last damage may still take.
    pub(super) fn room(&self) -> usize {
        let used = self.list.last().map_or(0, |d| d.sample.len());
        MAX_SAMPLE.saturating_sub(used).min(MAX_SAMPLES.saturating_sub(self.sampled))
    }

    /// The records that all damages stand for.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    pub(super) fn into_list(self) -> Vec<Damage> {
        self.list
    }

    fn sample_last(&mut self, sample: &[u8]) {
        let taken = sample.get(..self.room().min(sample.len())).unwrap_or_default();
        if let Some(last) = self.list.last_mut() {
            self.sampled += taken.len();
            last.sample.extend_from_slice(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_and_the_list_stays_bounded() {
        let mut damages = Damages::default();
        for n in 0..1000 {
            damages.add(DamageReason::BadRecord, n, 1, u64::from(n)..u64::from(n) + 1, b"x");
        }
        for n in 0..1000 {
            damages.add(DamageReason::BadRecord, 2000 + 2 * n, 1, 0..1, &[b'y'; 10_000]);
        }
        assert_eq!(damages.records(), 2000);
        let list = damages.into_list();
        assert_eq!((list[0].records, list[0].sample.len()), (1000, 1000));
        assert_eq!(list.len(), MAX_DAMAGES);
        assert_eq!(list.last().unwrap().reason, DamageReason::Further);
        assert_eq!(list.iter().map(|d| d.records).sum::<u32>(), 2000);
        assert!(list.iter().map(|d| d.sample.len()).sum::<usize>() <= MAX_SAMPLES);
    }
}
