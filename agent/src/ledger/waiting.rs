//! What waits: objects that were found and are not done, by stream.
//!
//! In: the table of found objects. Out: per stream a count and the oldest stamp. Invariant: reading changes nothing;
//! digests are not counted. Bounded by the caller's limit of rows; beyond it a stream costs one row.

use redb::ReadableDatabase;
use trailhaul_core::model::LogKey;

use super::inventory::{object_name, stream_names};
use super::tables::{FOUND, take};
use super::{Ledger, LedgerError};

/// The objects of a stream that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The bucket's URL.
    pub bucket: String,
    /// The key of the oldest, by its stamp.
    pub oldest: String,
    /// Its stamp, in Unix seconds.
    pub since: i64,
    /// How many there are; at least, where the limit was reached.
    pub count: u64,
}

impl Ledger {
    /// What waits, by stream; at most `limit` rows are counted one by one.
    pub fn waiting(&self, limit: u64) -> Result<Vec<Waiting>, LedgerError> {
        let read = self.db.begin_read()?;
        let names = stream_names(&read)?;
        let table = read.open_table(FOUND)?;
        let (mut waiting, mut low, mut seen) = (Vec::new(), Vec::new(), 0);
        // The rows of a stream lie together, by day and then by name: the first is the oldest.
        loop {
            let Some(row) = table.range(low.as_slice()..)?.next() else { return Ok(waiting) };
            let (key, _) = row?;
            let stream = u32::from_be_bytes(take(&mut key.value(), "found")?);
            let (bucket, oldest) = object_name(&names, key.value())?;
            let parsed = LogKey::parse(&oldest).ok().filter(|key| key.family.holds_records());
            let Some(after) = stream.checked_add(1) else { return Ok(waiting) };
            low = after.to_be_bytes().to_vec();
            let Some(since) = parsed.map(|key| key.stamp.unix_seconds()) else { continue };
            let rest = usize::try_from(limit.saturating_sub(seen)).unwrap_or(usize::MAX).max(1);
            let rows = table.range(key.value()..low.as_slice())?.take(rest);
            let mut count = 0;
            for row in rows {
                row?;
                count += 1;
            }
            seen += count;
            waiting.push(Waiting { bucket: bucket.to_owned(), oldest, since, count });
        }
    }
}

#[cfg(test)]
mod tests {
    use trailhaul_core::model::ObjectRef;

    use super::super::{LedgerOptions, place_of};
    use super::*;

    #[test]
    fn what_waits_is_counted_by_stream_and_digests_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let options = LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None };
        let ledger = Ledger::open(folder.path(), &options).unwrap();
        assert_eq!(ledger.waiting(10).unwrap(), []);
        let mut oldest = Vec::new();
        for (region, family, hours) in [
            ("eu-central-1", "CloudTrail", 3..8),
            ("us-east-1", "CloudTrail", 20..21),
            ("eu-west-1", "CloudTrail-Digest", 0..4),
        ] {
            let objects: Vec<ObjectRef> = hours
                .map(|hour| ObjectRef {
                    bucket: "s3://trail".into(),
                    key: format!(
                        "p/AWSLogs/111122223333/{family}/{region}/2026/11/22/111122223333_{family}_{region}_20261122T{hour:02}05Z_x.json.gz"
                    ),
                    etag: "e".into(),
                    version: None,
                    size: 1,
                })
                .collect();
            let (stream, ..) = place_of(&objects[0]).unwrap();
            ledger.record_found(&stream, &objects).unwrap();
            oldest.push((objects[0].key.clone(), objects.len() as u64));
        }
        let all = ledger.waiting(100).unwrap();
        let named: Vec<(String, u64)> = all.iter().map(|w| (w.oldest.clone(), w.count)).collect();
        assert_eq!(named, oldest[..2]);
        assert_eq!(all[1].since - all[0].since, 17 * 3_600);
        let cut: Vec<u64> = ledger.waiting(2).unwrap().iter().map(|w| w.count).collect();
        assert_eq!(cut, [2, 1], "a stream beyond the limit is still seen");
    }
}
