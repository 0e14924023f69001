//! What digests say: the chains that are being followed, the log files that proven digests name with the hash
//! that they must have, and those of them that are not settled yet.
//!
//! A digest is taken in by one transaction ([`DigestWriter`]): the chain's new state, the log files that it
//! names, and the digest itself as done. Whoever crashes before it finds the digest among the found objects.
//! Rows are bounded by `state.retention`.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use trailhaul_core::model::{AccountId, BatchId, LaneId, LogKey, ObjectRef, StreamKey, Verdict};
use trailhaul_core::plan::{Day, FoundObject};
use trailhaul_core::verify::{ChainId, ChainKind};

use super::inventory::{InventoryRow, object_name, place_of, put, row_key, stream_names, stream_number};
use super::tables::{AWAITED, BATCHES, CHAIN_NAMES, CHAINS, EXPECTED, STREAMS, after_prefix, take};
use super::{Ledger, LedgerError};

/// A chain as the ledger holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRow {
    /// The chain; its bucket is the store's URL.
    pub id: ChainId,
    /// When it is to be reviewed again, in Unix seconds.
    pub look_at: i64,
    /// Its state: what `core::verify::Track` writes down.
    pub state: Vec<u8>,
}

/// What a proven digest says of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The SHA-256 that its inflated bytes must have.
    pub sha256: [u8; 32],
    /// The chain of the digest; its bucket is the store's URL.
    pub chain: ChainId,
    /// The end of the digest's hour, in Unix seconds; with the chain it names the digest.
    pub end: i64,
}

impl Expected {
    /// The key of the digest that says so.
    pub fn digest(&self) -> String {
        self.chain.key_at(self.end)
    }
}

/// A log file that a digest names and whose verdict is open. The ETag and the size are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The log file; its ETag is empty.
    pub object: ObjectRef,
    /// The end of the digest's hour, in Unix seconds.
    pub end: i64,
}

/// What is remembered of a batch beside its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRow {
    /// When it was committed, in Unix seconds.
    pub commit: i64,
    /// The number of its entry in the lane's journal.
    pub entry: u64,
}

/// Objects with their rows.
pub type PendingRows = Vec<(ObjectRef, InventoryRow)>;

/// Where a page of rows ended; the next begins after it.
pub type RowMark = Vec<u8>;

/// How many objects of an account have a verdict.
pub type VerdictCounts = BTreeMap<(AccountId, Verdict), u64>;

impl Ledger {
    /// What a proven digest says of the object under this key; `None` while no digest names it.
    pub fn expected(&self, object: &ObjectRef) -> Result<Option<Expected>, LedgerError> {
        let Some((stream, day, name)) = place_of(object) else { return Ok(None) };
        let read = self.db.begin_read()?;
        let streams = read.open_table(STREAMS)?;
        let stream = streams.get(super::inventory::stream_name(&stream).as_str())?.map(|row| row.value());
        let Some(number) = stream else { return Ok(None) };
        let table = read.open_table(EXPECTED)?;
        let Some(row) = table.get(row_key(number, day, &name).as_slice())? else { return Ok(None) };
        let (sha256, chain, end) = decode_expected(row.value())?;
        let names = read.open_table(CHAIN_NAMES)?;
        let name = names.get(chain)?.ok_or(LedgerError::Row { table: "expected" })?;
        Ok(Some(Expected { sha256, chain: parse_chain(name.value())?, end }))
    }

    /// Log files whose verdict is open, at most `limit`, after the place that the last call returned; `None`
    /// instead of a place at the end.
    pub fn awaited(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<Awaited>, Option<RowMark>), LedgerError> {
        let read = self.db.begin_read()?;
        let names = stream_names(&read)?;
        let table = read.open_table(AWAITED)?;
        let low = after.map(|key| [key, &[0]].concat()).unwrap_or_default();
        let (mut rows, mut last) = (Vec::new(), None);
        for row in table.range(low.as_slice()..)? {
            let (key, value) = row?;
            if rows.len() >= limit {
                return Ok((rows, last));
            }
            let end = i64::from_be_bytes(take(&mut value.value(), "awaited")?);
            let (bucket, key_text) = object_name(&names, key.value())?;
            let object = ObjectRef {
                bucket: bucket.into(),
                key: key_text,
                etag: String::new(),
                version: None,
                size: 0,
            };
            rows.push(Awaited { object, end });
            last = Some(key.value().to_vec());
        }
        Ok((rows, None))
    }

    /// The verdict on these log files is no longer open.
    pub fn settle_awaited(&self, objects: &[ObjectRef]) -> Result<(), LedgerError> {
        if objects.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut table = transaction.open_table(AWAITED)?;
            for object in objects {
                let Some((stream, day, name)) = place_of(object) else { continue };
                let number = stream_number(transaction, &stream)?;
                table.remove(row_key(number, day, &name).as_slice())?;
            }
            Ok(())
        })
    }

    /// Objects that are done and whose verdict is pending, among at most `scan` rows after the place that the
    /// last call returned; `None` instead of a place at the end. Digests are not among them.
    pub fn pending(
        &self,
        after: Option<&[u8]>,
        scan: usize,
    ) -> Result<(PendingRows, Option<RowMark>), LedgerError> {
        let read = self.db.begin_read()?;
        let names = stream_names(&read)?;
        let table = read.open_table(super::tables::INVENTORY)?;
        let low = after.map(|key| [key, &[0]].concat()).unwrap_or_default();
        let (mut rows, mut last, mut seen) = (Vec::new(), None, 0);
        for row in table.range(low.as_slice()..)? {
            if seen >= scan {
                return Ok((rows, last));
            }
            seen += 1;
            let (key, value) = row?;
            last = Some(key.value().to_vec());
            let row = super::inventory::decode(value.value())?;
            if row.verdict != Verdict::Pending {
                continue;
            }
            let (bucket, text) = object_name(&names, key.value())?;
            let object = ObjectRef {
                bucket: bucket.into(),
                key: text,
                etag: row.etag.clone(),
                version: None,
                size: 0,
            };
            if FoundObject::new(object.clone()).is_ok_and(|found| found.family.holds_records()) {
                rows.push((object, row));
            }
        }
        Ok((rows, None))
    }

    /// Whether the object under this key was found and is not done.
    pub fn is_found(&self, object: &ObjectRef) -> Result<bool, LedgerError> {
        let Some((stream, day, name)) = place_of(object) else { return Ok(false) };
        let read = self.db.begin_read()?;
        let streams = read.open_table(STREAMS)?;
        let number = streams.get(super::inventory::stream_name(&stream).as_str())?.map(|row| row.value());
        let Some(number) = number else { return Ok(false) };
        let table = read.open_table(super::tables::FOUND)?;
        Ok(table.get(row_key(number, day, &name).as_slice())?.is_some())
    }

    /// How many objects that are done have each verdict, by account; digests are not counted. Looks at `limit` rows
    /// at most, and says whether there are more.
    pub fn verdict_counts(&self, limit: u64) -> Result<(VerdictCounts, bool), LedgerError> {
        let read = self.db.begin_read()?;
        let mut accounts = BTreeMap::new();
        for (number, name) in stream_names(&read)? {
            // A day and a name make it a key of the grammar.
            let key = format!("{}2000/01/01/x_20000101T0000Z", name.split_once('\0').map_or("", |(_, p)| p));
            if let Ok(key) = LogKey::parse(&key)
                && key.family.holds_records()
            {
                accounts.insert(number, key.account);
            }
        }
        let (mut counts, mut seen) = (BTreeMap::new(), 0);
        for row in read.open_table(super::tables::INVENTORY)?.iter()? {
            if seen == limit {
                return Ok((counts, true));
            }
            seen += 1;
            let (key, value) = row?;
            let number = u32::from_be_bytes(take(&mut key.value(), "inventory")?);
            let Some(account) = accounts.get(&number) else { continue };
            *counts.entry((*account, super::inventory::decode(value.value())?.verdict)).or_default() += 1;
        }
        Ok((counts, false))
    }

    /// Chains in order, at most `limit`, after the one that the last call returned; `None` at the end.
    pub fn chains(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<ChainRow>, Option<String>), LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(CHAINS)?;
        let low = after.map(|name| format!("{name}\0")).unwrap_or_default();
        let (mut rows, mut last) = (Vec::new(), None);
        for row in table.range(low.as_str()..)? {
            let (name, value) = row?;
            if rows.len() >= limit {
                return Ok((rows, last));
            }
            rows.push(decode_chain(name.value(), value.value())?);
            last = Some(name.value().to_owned());
        }
        Ok((rows, None))
    }

    /// The chains of one place: all trails, normal and backfill, that write digests of this account and region
    /// there. `like` names place, account and region.
    pub fn chains_of(&self, like: &ChainId) -> Result<Vec<ChainRow>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(CHAINS)?;
        let low = chain_place(like);
        let mut rows = Vec::new();
        for row in table.range(low.as_str()..)? {
            let (name, value) = row?;
            if !name.value().starts_with(&low) {
                break;
            }
            rows.push(decode_chain(name.value(), value.value())?);
        }
        Ok(rows)
    }

    /// A chain's state; `None` for one that nobody has followed.
    pub fn chain(&self, id: &ChainId) -> Result<Option<ChainRow>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(CHAINS)?;
        let name = chain_name(id);
        table.get(name.as_str())?.map(|row| decode_chain(&name, row.value())).transpose()
    }

    /// Takes in digests: all of what `work` does, or nothing.
    pub fn write_digests<T>(
        &self,
        work: impl FnOnce(&mut DigestWriter<'_>) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.write(|transaction| work(&mut DigestWriter { transaction }))
    }

    /// What is remembered of a batch; `None` when that was too long ago.
    pub fn batch(&self, batch: BatchId) -> Result<Option<BatchRow>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(BATCHES)?;
        let Some(row) = table.get(batch_key(batch).as_slice())? else { return Ok(None) };
        decode_batch(row.value()).map(Some)
    }

    /// Drops what digests said of days before this one.
    pub fn expire_expected(&self, before: Day) -> Result<(), LedgerError> {
        self.write(|transaction| {
            let numbers: Vec<u32> = {
                let streams = transaction.open_table(STREAMS)?;
                streams.iter()?.map(|row| Ok(row?.1.value())).collect::<Result<_, LedgerError>>()?
            };
            let (mut expected, mut awaited) =
                (transaction.open_table(EXPECTED)?, transaction.open_table(AWAITED)?);
            for number in numbers {
                let low = row_key(number, Day::from(jiff::civil::Date::MIN), "");
                let high = row_key(number, before, "");
                expected.retain_in(low.as_slice()..high.as_slice(), |_, _| false)?;
                awaited.retain_in(low.as_slice()..high.as_slice(), |_, _| false)?;
            }
            let mut batches = transaction.open_table(BATCHES)?;
            batches.retain(|_, row| decode_batch(row).is_ok_and(|row| row.commit >= before.begin()))?;
            Ok(())
        })
    }

    /// The first day of which an object is known, done or expected; `None` for an empty inventory.
    pub fn first_day(&self) -> Result<Option<Day>, LedgerError> {
        let read = self.db.begin_read()?;
        let mut first: Option<Day> = None;
        for row in read.open_table(STREAMS)?.iter()? {
            let day = first_day_of(&read, row?.1.value())?;
            first = [first, day].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// The first day of which an object is done, where nobody remembers how far streams were listed: the ledger was
    /// lost, and rebuilt from the journal.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn first_day_if_lost(&self) -> Result<Option<Day>, LedgerError> {
        let plans = self.db.begin_read()?.open_table(super::tables::PLANS)?;
        if redb::ReadableTableMetadata::is_empty(&plans)? { self.first_day() } else { Ok(None) }
    }

    /// The first day of which an object of this stream is done; `None` where none is.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn first_day_of(&self, stream: &StreamKey) -> Result<Option<Day>, LedgerError> {
        let read = self.db.begin_read()?;
        let name = super::inventory::stream_name(stream);
        let streams = read.open_table(STREAMS)?;
        let number = streams.get(name.as_str())?.map(|row| row.value());
        number.map_or(Ok(None), |number| first_day_of(&read, number))
    }
}

fn first_day_of(read: &ReadTransaction, stream: u32) -> Result<Option<Day>, LedgerError> {
    let low = stream.to_be_bytes();
    let high = after_prefix(&low).unwrap_or_default();
    let table = read.open_table(super::tables::INVENTORY)?;
    let Some(row) = table.range(low.as_slice()..high.as_slice())?.next() else { return Ok(None) };
    super::inventory::day_of(row?.0.value()).map(Some)
}

/// Takes in digests within one transaction.
pub struct DigestWriter<'t> {
    transaction: &'t WriteTransaction,
}

impl DigestWriter<'_> {
    /// A chain's state as of now.
    pub fn chain(&self, id: &ChainId) -> Result<Option<ChainRow>, LedgerError> {
        let table = self.transaction.open_table(CHAINS)?;
        let name = chain_name(id);
        table.get(name.as_str())?.map(|row| decode_chain(&name, row.value())).transpose()
    }

    /// The chain's new state.
    pub fn put_chain(&mut self, row: &ChainRow) -> Result<(), LedgerError> {
        let mut table = self.transaction.open_table(CHAINS)?;
        let value = [row.look_at.to_be_bytes().as_slice(), row.state.as_slice()].concat();
        table.insert(chain_name(&row.id).as_str(), value.as_slice())?;
        Ok(())
    }

    /// A proven digest names these log files, with their hashes.
    pub fn expect(
        &mut self,
        chain: &ChainId,
        end: i64,
        logs: &[(ObjectRef, [u8; 32])],
    ) -> Result<(), LedgerError> {
        let number = self.chain_number(chain)?;
        let mut expected = self.transaction.open_table(EXPECTED)?;
        let mut awaited = self.transaction.open_table(AWAITED)?;
        for (object, sha256) in logs {
            let Some((stream, day, name)) = place_of(object) else { continue };
            let key = row_key(stream_number(self.transaction, &stream)?, day, &name);
            let row = [sha256.as_slice(), &number.to_be_bytes(), &end.to_be_bytes()].concat();
            expected.insert(key.as_slice(), row.as_slice())?;
            awaited.insert(key.as_slice(), end.to_be_bytes().as_slice())?;
        }
        Ok(())
    }

    /// A digest that was found is gone: nothing is to be done about it.
    pub fn forget(&mut self, digest: &ObjectRef) -> Result<(), LedgerError> {
        let Some((stream, day, name)) = place_of(digest) else { return Ok(()) };
        let key = row_key(stream_number(self.transaction, &stream)?, day, &name);
        self.transaction.open_table(super::tables::FOUND)?.remove(key.as_slice())?;
        Ok(())
    }

    /// A digest is done; `proven` where its signature or a successor vouches for it.
    pub fn done(
        &mut self,
        digest: &ObjectRef,
        proven: bool,
        sha256: Option<[u8; 32]>,
    ) -> Result<(), LedgerError> {
        let row = InventoryRow {
            etag: digest.etag.clone(),
            sha256,
            verdict: if proven { Verdict::Verified } else { Verdict::Mismatch },
            batch: BatchId { lane: LaneId(0), epoch: 0, batch: 0 },
            object: 0,
            said: 0,
        };
        put(self.transaction, digest, &row)
    }

    /// Chains are numbered, so that each log file's row names its digest in a few bytes.
    fn chain_number(&mut self, id: &ChainId) -> Result<u32, LedgerError> {
        let mut table = self.transaction.open_table(CHAIN_NAMES)?;
        let mut numbers = self.transaction.open_table(super::tables::CHAIN_NUMBERS)?;
        let name = chain_name(id);
        if let Some(number) = numbers.get(name.as_str())? {
            return Ok(number.value());
        }
        let next = u32::try_from(redb::ReadableTableMetadata::len(&table)?).unwrap_or(u32::MAX);
        table.insert(next, name.as_str())?;
        numbers.insert(name.as_str(), next)?;
        Ok(next)
    }
}

/// Notes a batch within a transaction.
pub(super) fn put_batch(
    transaction: &WriteTransaction,
    batch: BatchId,
    row: BatchRow,
) -> Result<(), LedgerError> {
    let value = [row.commit.to_be_bytes(), row.entry.to_be_bytes()].concat();
    transaction.open_table(BATCHES)?.insert(batch_key(batch).as_slice(), value.as_slice())?;
    Ok(())
}

fn batch_key(batch: BatchId) -> Vec<u8> {
    [batch.lane.0.to_be_bytes().as_slice(), &batch.epoch.to_be_bytes(), &batch.batch.to_be_bytes()].concat()
}

fn decode_batch(mut row: &[u8]) -> Result<BatchRow, LedgerError> {
    let row = &mut row;
    let commit = i64::from_be_bytes(take(row, "batches")?);
    Ok(BatchRow { commit, entry: u64::from_be_bytes(take(row, "batches")?) })
}

fn decode_expected(mut row: &[u8]) -> Result<([u8; 32], u32, i64), LedgerError> {
    let row = &mut row;
    let sha256 = take::<32>(row, "expected")?;
    let chain = u32::from_be_bytes(take(row, "expected")?);
    Ok((sha256, chain, i64::from_be_bytes(take(row, "expected")?)))
}

fn decode_chain(name: &str, mut row: &[u8]) -> Result<ChainRow, LedgerError> {
    let look_at = i64::from_be_bytes(take(&mut row, "chains")?);
    Ok(ChainRow { id: parse_chain(name)?, look_at, state: row.to_vec() })
}

/// Bucket, prefix, organization, account and region, each with a NUL behind it: the chains of one place lie
/// together.
fn chain_place(id: &ChainId) -> String {
    let organization = id.organization.as_ref().map_or("", |organization| organization.as_str());
    format!("{}\0{}\0{organization}\0{}\0{}\0", id.bucket, id.prefix, id.account, id.region)
}

fn chain_name(id: &ChainId) -> String {
    let kind = if id.kind == ChainKind::Backfill { "backfill" } else { "normal" };
    format!("{}{}\0{}\0{kind}", chain_place(id), id.trail, id.home_region)
}

fn parse_chain(name: &str) -> Result<ChainId, LedgerError> {
    let damaged = || LedgerError::Row { table: "chains" };
    let parts: Vec<&str> = name.split('\0').collect();
    let [bucket, prefix, organization, account, region, trail, home_region, kind] = parts.as_slice() else {
        return Err(damaged());
    };
    let organization = match *organization {
        "" => None,
        id => Some(id.parse().map_err(|_| damaged())?),
    };
    Ok(ChainId {
        bucket: (*bucket).to_owned(),
        prefix: (*prefix).to_owned(),
        organization,
        account: account.parse().map_err(|_| damaged())?,
        region: (*region).to_owned(),
        trail: (*trail).to_owned(),
        home_region: (*home_region).to_owned(),
        kind: if *kind == "backfill" { ChainKind::Backfill } else { ChainKind::Normal },
    })
}

#[cfg(test)]
mod tests {
    use super::super::LedgerOptions;
    use super::*;

    fn ledger(folder: &std::path::Path) -> Ledger {
        Ledger::open(folder, &LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None }).unwrap()
    }

    fn chain(trail: &str, region: &str) -> ChainId {
        ChainId {
            bucket: "s3://logs".into(),
            prefix: "p".into(),
            organization: Some("o-a1b2c3d4e5".parse().unwrap()),
            account: "111122223333".parse().unwrap(),
            region: region.into(),
            trail: trail.into(),
            home_region: "us-east-1".into(),
            kind: ChainKind::Normal,
        }
    }

    fn log(name: &str) -> ObjectRef {
        let key = format!(
            "p/AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/eu-west-1/2026/05/20/\
             111122223333_CloudTrail_eu-west-1_20260520T0205Z_{name}.json.gz"
        );
        ObjectRef { bucket: "s3://logs".into(), key, etag: String::new(), version: None, size: 0 }
    }

    #[test]
    fn what_a_digest_says_is_found_again_by_the_log_file() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let (one, two) = (chain("t", "eu-west-1"), chain("u", "eu-west-1"));
        let end = 1_779_236_248;
        ledger
            .write_digests(|writer| {
                writer.put_chain(&ChainRow { id: one.clone(), look_at: 7, state: b"x".to_vec() })?;
                writer.put_chain(&ChainRow { id: two.clone(), look_at: 8, state: b"y".to_vec() })?;
                writer.put_chain(&ChainRow { id: chain("t", "eu-west-2"), look_at: 9, state: Vec::new() })?;
                writer.expect(&two, end, &[(log("a"), [1; 32]), (log("b"), [2; 32])])
            })
            .unwrap();
        let expected = ledger.expected(&log("b")).unwrap().unwrap();
        assert_eq!((expected.sha256, expected.digest()), ([2; 32], two.key_at(end)));
        assert_eq!(ledger.expected(&log("c")).unwrap(), None);
        assert_eq!(ledger.chains_of(&one).unwrap().len(), 2);
        assert_eq!(ledger.chain(&one).unwrap().unwrap().state, b"x");
        let (page, next) = ledger.chains(None, 2).unwrap();
        assert_eq!((page.len(), ledger.chains(next.as_deref(), 2).unwrap().0.len()), (2, 1));

        let (page, next) = ledger.awaited(None, 1).unwrap();
        assert_eq!((page[0].object.clone(), page[0].end), (log("a"), end));
        let (rest, end_of_list) = ledger.awaited(next.as_deref(), 5).unwrap();
        assert_eq!((rest[0].object.clone(), end_of_list), (log("b"), None));
        ledger.settle_awaited(&[log("a")]).unwrap();
        assert_eq!(ledger.awaited(None, 5).unwrap().0.len(), 1);
        assert!(ledger.expected(&log("a")).unwrap().is_some(), "it stays expected");
        ledger.expire_expected(Day::of(end).plus(1)).unwrap();
        assert!(ledger.expected(&log("a")).unwrap().is_none());
        assert_eq!(ledger.awaited(None, 5).unwrap().0, []);
    }
}
