//! The inventory: which objects are done. One row per object, by stream, day and file name, so that a page of
//! a listing (which comes in the same order) is compared with one short range.

use jiff::civil::Date;
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use trailhaul_core::model::{BatchId, LaneId, LogKey, ObjectRef, StreamKey, Verdict};

use super::tables::{INVENTORY, STREAMS, take};
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
}

/// The stream, day and file name of an object; `None` when its key is not CloudTrail's.
pub fn place_of(object: &ObjectRef) -> Option<(StreamKey, Date, String)> {
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
    Some((stream, key.day, key.file_name.to_owned()))
}

impl Ledger {
    /// The names and ETags that are done in a stream's day folder, from `from` up to and with `to`, in order.
    pub fn known(
        &self,
        stream: &StreamKey,
        day: Date,
        from: &str,
        to: Option<&str>,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        let read = self.db.begin_read()?;
        let streams = read.open_table(STREAMS)?;
        let Some(number) = streams.get(stream_name(stream).as_str())?.map(|row| row.value()) else {
            return Ok(Vec::new());
        };
        let table = read.open_table(INVENTORY)?;
        let low = row_key(number, day, from);
        let high = match to {
            Some(to) => row_key(number, day, to),
            None => row_key(number, day, "\u{10FFFF}"),
        };
        let mut known = Vec::new();
        for row in table.range(low.as_slice()..=high.as_slice())? {
            let (key, value) = row?;
            let name = key.value().get(8..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or(LedgerError::Row { table: "inventory" })?.to_owned();
            known.push((name, decode(value.value())?.etag));
        }
        Ok(known)
    }

    /// What is remembered of the object under this key, whatever its ETag then was.
    pub fn object(&self, object: &ObjectRef) -> Result<Option<InventoryRow>, LedgerError> {
        let Some((stream, day, name)) = place_of(object) else { return Ok(None) };
        let read = self.db.begin_read()?;
        let streams = read.open_table(STREAMS)?;
        let Some(number) = streams.get(stream_name(&stream).as_str())?.map(|row| row.value()) else {
            return Ok(None);
        };
        let table = read.open_table(INVENTORY)?;
        table.get(row_key(number, day, &name).as_slice())?.map(|row| decode(row.value())).transpose()
    }

    /// Drops what lies before this day. Called only for days that are never listed again.
    pub fn expire_inventory(&self, before: Date) -> Result<u64, LedgerError> {
        self.write(|transaction| {
            let numbers: Vec<u32> = {
                let streams = transaction.open_table(STREAMS)?;
                let mut numbers = Vec::new();
                for row in streams.iter()? {
                    numbers.push(row?.1.value());
                }
                numbers
            };
            let mut table = transaction.open_table(INVENTORY)?;
            let mut dropped = 0;
            for number in numbers {
                let low = row_key(number, Date::MIN, "");
                let high = row_key(number, before, "");
                for row in table.extract_from_if(low.as_slice()..high.as_slice(), |_, _| true)? {
                    row?;
                    dropped += 1;
                }
            }
            Ok(dropped)
        })
    }
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
    table.insert(row_key(number, day, &name).as_slice(), encode(row).as_slice())?;
    Ok(())
}

fn stream_number(transaction: &WriteTransaction, stream: &StreamKey) -> Result<u32, LedgerError> {
    let name = stream_name(stream);
    let mut table = transaction.open_table(STREAMS)?;
    if let Some(row) = table.get(name.as_str())? {
        return Ok(row.value());
    }
    let next = u32::try_from(redb::ReadableTableMetadata::len(&table)?).unwrap_or(u32::MAX);
    table.insert(name.as_str(), next)?;
    Ok(next)
}

fn stream_name(stream: &StreamKey) -> String {
    format!("{}\0{}", stream.bucket, stream.prefix)
}

fn row_key(stream: u32, day: Date, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + name.len());
    key.extend_from_slice(&stream.to_be_bytes());
    // Days as YYYYMMDD: ordered, and readable in a hex dump. Years of the key grammar are 0 to 9999.
    let day =
        u32::try_from(i32::from(day.year()) * 10_000 + i32::from(day.month()) * 100 + i32::from(day.day()));
    key.extend_from_slice(&day.unwrap_or(0).to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
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
    bytes.extend_from_slice(row.etag.as_bytes());
    bytes
}

fn decode(mut bytes: &[u8]) -> Result<InventoryRow, LedgerError> {
    const TABLE: &str = "inventory";
    let bytes = &mut bytes;
    let [verdict, hashed] = take::<2>(bytes, TABLE)?;
    let sha256 = take::<32>(bytes, TABLE)?;
    let lane = LaneId(u16::from_be_bytes(take(bytes, TABLE)?));
    let epoch = u32::from_be_bytes(take(bytes, TABLE)?);
    let batch = u32::from_be_bytes(take(bytes, TABLE)?);
    let object = u32::from_be_bytes(take(bytes, TABLE)?);
    let etag = std::str::from_utf8(bytes).map_err(|_| LedgerError::Row { table: TABLE })?.to_owned();
    let verdict = VERDICTS.get(usize::from(verdict)).copied().ok_or(LedgerError::Row { table: TABLE })?;
    Ok(InventoryRow {
        etag,
        sha256: (hashed == 1).then_some(sha256),
        verdict,
        batch: BatchId { lane, epoch, batch },
        object,
    })
}

/// The order is part of the file format: new verdicts go to the end.
const VERDICTS: [Verdict; 6] = [
    Verdict::Pending,
    Verdict::Verified,
    Verdict::Undigested,
    Verdict::Mismatch,
    Verdict::Missing,
    Verdict::Extra,
];

fn verdict_code(verdict: Verdict) -> u8 {
    VERDICTS.iter().position(|v| *v == verdict).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}
