//! The inventory: which objects were found, and which are done. One row per object, by stream, day and file
//! name, so that a page of a listing (which comes in the same order) is compared with one short range.

use std::collections::BTreeMap;

use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use trailhaul_core::model::{BatchId, LaneId, LogKey, ObjectRef, StreamKey, Verdict};
use trailhaul_core::plan::{Day, DayPlan};

use super::tables::{FOUND, INVENTORY, PLANS, STREAMS, VERDICTS, take};
use super::{Ledger, LedgerError};

/// What is remembered of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// The ETag under which it was read.
    pub etag: String,
    /// SHA-256 of the inflated bytes; `None` where a cap ended the reading.
    pub sha256: Option<[u8; 32]>,
    /// Where its digest stands.
    pub verdict: Verdict,
    /// The batch that hauled it.
    pub batch: BatchId,
    /// Its index among the batch's objects.
    pub object: u32,
    /// The number of the `verdict` entry in the lane's journal that the verdict comes from; 0 when it is the
    /// batch's own.
    pub said: u64,
}

/// The stream, day and file name of an object; `None` when its key is not CloudTrail's.
pub fn place_of(object: &ObjectRef) -> Option<(StreamKey, Day, String)> {
    let key = LogKey::parse(&object.key).ok()?;
    // The day folders and the name are a fixed tail: `YYYY/MM/DD/NAME`.
    let tail = "YYYY/MM/DD/".len() + key.file_name.len();
    let prefix = object.key.get(..object.key.len().checked_sub(tail)?)?.to_owned();
    let stream = StreamKey {
        bucket: object.bucket.clone(),
        prefix,
        account: key.account,
        family: key.family,
        region: key.region.to_owned(),
    };
    Some((stream, Day::from(key.day), key.file_name.to_owned()))
}

impl Ledger {
    /// The names and newest ETags that are known in a stream's day folder, found or done, from `from` up to and
    /// with `to`, in order.
    pub fn known(
        &self,
        stream: &StreamKey,
        day: Day,
        from: &str,
        to: Option<&str>,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        let read = self.db.begin_read()?;
        let streams = read.open_table(STREAMS)?;
        let Some(number) = streams.get(stream_name(stream).as_str())?.map(|row| row.value()) else {
            return Ok(Vec::new());
        };
        let low = row_key(number, day, from);
        // No name of the key grammar starts with the highest code point.
        let high = row_key(number, day, to.unwrap_or("\u{10FFFF}"));
        let mut known = BTreeMap::new();
        let done = read.open_table(INVENTORY)?;
        for row in done.range(low.as_slice()..=high.as_slice())? {
            let (key, value) = row?;
            known.insert(name_of(key.value())?.to_owned(), decode(value.value())?.etag);
        }
        // What was found again under another ETag stands for the newest.
        let found = read.open_table(FOUND)?;
        for row in found.range(low.as_slice()..=high.as_slice())? {
            let (key, value) = row?;
            known.insert(name_of(key.value())?.to_owned(), decode_found(value.value())?.etag);
        }
        Ok(known.into_iter().collect())
    }

    /// Records objects as found: from here on they are not lost, whatever becomes of the process. What is done
    /// already under this ETag, because somebody else had found it first, stays so. How many are new.
    pub fn record_found(&self, stream: &StreamKey, objects: &[ObjectRef]) -> Result<u64, LedgerError> {
        self.record_held(stream, objects, None)
    }

    /// The same for objects that wait for digests from `since` on (Unix seconds), unless they do already.
    pub fn record_held(
        &self,
        stream: &StreamKey,
        objects: &[ObjectRef],
        since: Option<i64>,
    ) -> Result<u64, LedgerError> {
        if objects.is_empty() {
            return Ok(0);
        }
        self.write(|transaction| {
            let number = stream_number(transaction, stream)?;
            let (mut table, done) = (transaction.open_table(FOUND)?, transaction.open_table(INVENTORY)?);
            let mut new = 0;
            for object in objects {
                let Some((_, day, name)) = place_of(object) else { continue };
                let key = row_key(number, day, &name);
                let before = done.get(key.as_slice())?.map(|row| decode(row.value())).transpose()?;
                if before.is_some_and(|before| before.etag == object.etag) {
                    continue;
                }
                let before = table.get(key.as_slice())?.map(|row| decode_found(row.value())).transpose()?;
                new += u64::from(before.is_none());
                let held = before.filter(|row| row.etag == object.etag).and_then(|row| row.held);
                let row = FoundRow {
                    etag: object.etag.clone(),
                    version: object.version.clone(),
                    size: object.size,
                    held: held.or(since),
                    gone: false,
                };
                table.insert(key.as_slice(), encode_row(&row)?.as_slice())?;
            }
            Ok(new)
        })
    }

    /// Objects that were found and are not done, at most `limit`, after the place that the last call returned.
    pub fn found(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<ObjectRef>, Option<Vec<u8>>), LedgerError> {
        let read = self.db.begin_read()?;
        let names = stream_names(&read)?;
        let table = read.open_table(FOUND)?;
        let low = after.map(|key| [key, &[0]].concat()).unwrap_or_default();
        let (mut objects, mut last) = (Vec::new(), None);
        for row in table.range(low.as_slice()..)? {
            let (key, value) = row?;
            if objects.len() >= limit {
                return Ok((objects, last));
            }
            objects.push(object_of(&names, key.value(), decode_found(value.value())?)?);
            last = Some(key.value().to_vec());
        }
        Ok((objects, None))
    }

    /// A stream's place in its history; `None` for a stream that nobody has listed.
    pub fn plan(&self, stream: &StreamKey) -> Result<Option<DayPlan>, LedgerError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(PLANS)?;
        let row = table.get(stream_name(stream).as_str())?;
        let plan = row.map(|row| serde_json::from_slice(row.value()));
        plan.transpose().map_err(|_| LedgerError::Row { table: "plans" })
    }

    /// Remembers a stream's place in its history.
    pub fn save_plan(&self, stream: &StreamKey, plan: &DayPlan) -> Result<(), LedgerError> {
        let bytes = serde_json::to_vec(plan).map_err(|_| LedgerError::Row { table: "plans" })?;
        self.write(|transaction| {
            transaction.open_table(PLANS)?.insert(stream_name(stream).as_str(), bytes.as_slice())?;
            Ok(())
        })
    }

    /// What is remembered of the object under this key, whatever its ETag then was.
    pub fn object(&self, object: &ObjectRef) -> Result<Option<InventoryRow>, LedgerError> {
        let read = self.db.begin_read()?;
        let Some(key) = known_key(&read, object)? else { return Ok(None) };
        let table = read.open_table(INVENTORY)?;
        table.get(key.as_slice())?.map(|row| decode(row.value())).transpose()
    }

    /// Drops what lies before this day, in streams whose plans say that no earlier day is listed again: what a
    /// listing shows and the inventory does not know would be hauled anew.
    pub fn expire_inventory(&self, before: Day) -> Result<u64, LedgerError> {
        self.write(|transaction| {
            let mut past: Vec<u32> = Vec::new();
            {
                let plans = transaction.open_table(PLANS)?;
                for row in transaction.open_table(STREAMS)?.iter()? {
                    let (name, number) = row?;
                    let Some(plan) = plans.get(name.value())? else { continue };
                    let plan: DayPlan = serde_json::from_slice(plan.value())
                        .map_err(|_| LedgerError::Row { table: "plans" })?;
                    if plan.is_past(before) {
                        past.push(number.value());
                    }
                }
            }
            let mut table = transaction.open_table(INVENTORY)?;
            let mut verdicts = transaction.open_table(VERDICTS)?;
            let mut dropped = 0;
            for number in past {
                let low = row_key(number, Day::from(jiff::civil::Date::MIN), "");
                let high = row_key(number, before, "");
                verdicts.retain_in(low.as_slice()..high.as_slice(), |_, _| false)?;
                for row in table.extract_from_if(low.as_slice()..high.as_slice(), |_, _| true)? {
                    row?;
                    dropped += 1;
                }
            }
            Ok(dropped)
        })
    }
}

/// The key of an object's rows; `None` when nothing of its stream is known.
pub(super) fn known_key(
    read: &redb::ReadTransaction,
    object: &ObjectRef,
) -> Result<Option<Vec<u8>>, LedgerError> {
    let Some((stream, day, name)) = place_of(object) else { return Ok(None) };
    let streams = read.open_table(STREAMS)?;
    let number = streams.get(stream_name(&stream).as_str())?.map(|row| row.value());
    Ok(number.map(|number| row_key(number, day, &name)))
}

/// Adds an object within a transaction.
pub(super) fn put(
    transaction: &WriteTransaction,
    object: &ObjectRef,
    row: &InventoryRow,
) -> Result<(), LedgerError> {
    let Some((stream, day, name)) = place_of(object) else { return Ok(()) };
    let number = stream_number(transaction, &stream)?;
    let mut table = transaction.open_table(INVENTORY)?;
    let key = row_key(number, day, &name);
    table.insert(key.as_slice(), encode(row).as_slice())?;
    // Found meanwhile under yet another ETag: that one is still to be hauled.
    let mut found = transaction.open_table(FOUND)?;
    let same = match found.get(key.as_slice())? {
        None => false,
        Some(row) => decode_found(row.value())?.etag == object.etag,
    };
    if same {
        found.remove(key.as_slice())?;
    }
    Ok(())
}

/// Sets the verdict of an object that is remembered under this ETag; the one before, `None` when it is not.
pub(super) fn set_verdict(
    transaction: &WriteTransaction,
    key: &[u8],
    etag: &str,
    verdict: Verdict,
    said: u64,
) -> Result<Option<Verdict>, LedgerError> {
    let mut table = transaction.open_table(INVENTORY)?;
    let Some(mut row) = table.get(key)?.map(|row| decode(row.value())).transpose()? else { return Ok(None) };
    if row.etag != etag {
        return Ok(None);
    }
    let before = std::mem::replace(&mut row.verdict, verdict);
    row.said = said;
    table.insert(key, encode(&row).as_slice())?;
    Ok(Some(before))
}

/// The key of an object's rows; gives the stream a number where it has none. `None` when the object's key is not
/// CloudTrail's.
pub(super) fn key_of(
    transaction: &WriteTransaction,
    object: &ObjectRef,
) -> Result<Option<Vec<u8>>, LedgerError> {
    let Some((stream, day, name)) = place_of(object) else { return Ok(None) };
    Ok(Some(row_key(stream_number(transaction, &stream)?, day, &name)))
}

pub(super) fn stream_number(transaction: &WriteTransaction, stream: &StreamKey) -> Result<u32, LedgerError> {
    let name = stream_name(stream);
    let mut table = transaction.open_table(STREAMS)?;
    if let Some(row) = table.get(name.as_str())? {
        return Ok(row.value());
    }
    let next = u32::try_from(redb::ReadableTableMetadata::len(&table)?).unwrap_or(u32::MAX);
    table.insert(name.as_str(), next)?;
    Ok(next)
}

pub(super) fn stream_name(stream: &StreamKey) -> String {
    format!("{}\0{}", stream.bucket, stream.prefix)
}

pub(super) fn row_key(stream: u32, day: Day, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + name.len());
    key.extend_from_slice(&stream.to_be_bytes());
    // The flipped sign bit sorts days before 1970 first.
    key.extend_from_slice(&(day.number() ^ i32::MIN).to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

fn name_of(key: &[u8]) -> Result<&str, LedgerError> {
    let name = key.get(8..).and_then(|name| std::str::from_utf8(name).ok());
    name.ok_or(LedgerError::Row { table: "inventory" })
}

/// What is remembered of an object that was found: its ETag, version and size.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct FoundRow {
    pub(super) etag: String,
    pub(super) version: Option<String>,
    pub(super) size: u64,
    /// Since when it waits for a digest (Unix seconds), where it has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<i64>,
    /// Whether it was gone when it was to be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
}

pub(super) fn encode_row(row: &FoundRow) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(row).map_err(|_| LedgerError::Row { table: "found" })
}

pub(super) fn decode_found(bytes: &[u8]) -> Result<FoundRow, LedgerError> {
    serde_json::from_slice(bytes).map_err(|_| LedgerError::Row { table: "found" })
}

/// The name of each stream by its number.
pub(super) fn stream_names(read: &redb::ReadTransaction) -> Result<BTreeMap<u32, String>, LedgerError> {
    let mut names = BTreeMap::new();
    for row in read.open_table(STREAMS)?.iter()? {
        let (name, number) = row?;
        names.insert(number.value(), name.value().to_owned());
    }
    Ok(names)
}

/// The bucket and the key of a row.
pub(super) fn object_name<'a>(
    names: &'a BTreeMap<u32, String>,
    key: &[u8],
) -> Result<(&'a str, String), LedgerError> {
    const DAMAGED: LedgerError = LedgerError::Row { table: "found" };
    let number = u32::from_be_bytes(take(&mut &*key, "found")?);
    let (bucket, prefix) = names.get(&number).and_then(|name| name.split_once('\0')).ok_or(DAMAGED)?;
    Ok((bucket, format!("{prefix}{}{}", day_of(key)?.folder(), name_of(key)?)))
}

/// The day of a row.
pub(super) fn day_of(key: &[u8]) -> Result<Day, LedgerError> {
    let mut rest = key.get(4..).unwrap_or_default();
    let day = i32::from_be_bytes(take(&mut rest, "found")?) ^ i32::MIN;
    Ok(Day::of(i64::from(day) * 86_400))
}

/// The object of a row.
pub(super) fn object_of(
    names: &BTreeMap<u32, String>,
    key: &[u8],
    row: FoundRow,
) -> Result<ObjectRef, LedgerError> {
    let (bucket, key) = object_name(names, key)?;
    Ok(ObjectRef { bucket: bucket.into(), key, etag: row.etag, version: row.version, size: row.size })
}

fn encode(row: &InventoryRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + row.etag.len());
    bytes.push(verdict_code(row.verdict));
    bytes.push(u8::from(row.sha256.is_some()));
    bytes.extend_from_slice(&row.sha256.unwrap_or_default());
    bytes.extend_from_slice(&row.batch.lane.0.to_be_bytes());
    bytes.extend_from_slice(&row.batch.epoch.to_be_bytes());
    bytes.extend_from_slice(&row.batch.batch.to_be_bytes());
    bytes.extend_from_slice(&row.object.to_be_bytes());
    bytes.extend_from_slice(&row.said.to_be_bytes());
    bytes.extend_from_slice(row.etag.as_bytes());
    bytes
}

pub(super) fn decode(mut bytes: &[u8]) -> Result<InventoryRow, LedgerError> {
    const TABLE: &str = "inventory";
    let bytes = &mut bytes;
    let [verdict, hashed] = take::<2>(bytes, TABLE)?;
    let sha256 = take::<32>(bytes, TABLE)?;
    let lane = LaneId(u16::from_be_bytes(take(bytes, TABLE)?));
    let epoch = u32::from_be_bytes(take(bytes, TABLE)?);
    let batch = u32::from_be_bytes(take(bytes, TABLE)?);
    let object = u32::from_be_bytes(take(bytes, TABLE)?);
    let said = u64::from_be_bytes(take(bytes, TABLE)?);
    let etag = std::str::from_utf8(bytes).map_err(|_| LedgerError::Row { table: TABLE })?.to_owned();
    let verdict = CODES.get(usize::from(verdict)).copied().ok_or(LedgerError::Row { table: TABLE })?;
    Ok(InventoryRow {
        etag,
        sha256: (hashed == 1).then_some(sha256),
        verdict,
        batch: BatchId { lane, epoch, batch },
        object,
        said,
    })
}

/// The order is part of the file format: new verdicts go to the end.
const CODES: [Verdict; 6] = [
    Verdict::Pending,
    Verdict::Verified,
    Verdict::Undigested,
    Verdict::Mismatch,
    Verdict::Missing,
    Verdict::Extra,
];

fn verdict_code(verdict: Verdict) -> u8 {
    CODES.iter().position(|v| *v == verdict).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}
