//! Found objects that are not hauled yet: which of them wait for a digest (`integrity.mode: hold`), since when, and
//! which are gone from their bucket.
//!
//! In: objects and the time. Out: pages of what waits, counts of it. Invariant: the moment from which an object waits
//! survives a restart, and is set once for each content. Failure: none of its own. Bounded: pages; one timestamp and
//! one mark in the object's row.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};
use trailhaul_core::model::{AccountId, ObjectRef};
use trailhaul_core::plan::FoundObject;

use super::inventory::{FoundRow, decode_found, encode_row, known_key, object_of, stream_names};
use super::tables::{EXPECTED, FOUND, take};
use super::{Ledger, LedgerError};

/// A log file that was found and is not hauled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhauled {
    /// The object.
    pub found: FoundObject,
    /// Since when it waits for a digest (Unix seconds); `None` when nobody has said so.
    pub held: Option<i64>,
    /// Whether a proven digest names it.
    pub vouched: bool,
    /// Whether it was gone from its bucket when it was to be read.
    pub gone: bool,
}

/// Log files of an account that wait for digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How many.
    pub objects: u64,
    /// Since when the oldest waits (Unix seconds); `None` where that is not noted yet.
    pub oldest: Option<i64>,
    /// Since when the newest waits.
    pub newest: Option<i64>,
}

impl Held {
    fn add(&mut self, since: Option<i64>) {
        self.objects += 1;
        self.oldest = [self.oldest, since].into_iter().flatten().min();
        self.newest = [self.newest, since].into_iter().flatten().max();
    }
}

/// How much was found and is not hauled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnhauledCounts {
    /// Log files, those that wait for digests among them.
    pub objects: u64,
    /// Those that no proven digest names yet.
    pub unvouched: BTreeMap<AccountId, Held>,
    /// Whether there are more than were counted.
    pub more: bool,
}

impl UnhauledCounts {
    /// What no digest names yet, of all accounts together.
    pub fn held(&self) -> Held {
        let mut sum = Held::default();
        for held in self.unvouched.values() {
            sum.objects += held.objects;
            sum.oldest = [sum.oldest, held.oldest].into_iter().flatten().min();
            sum.newest = sum.newest.max(held.newest);
        }
        sum
    }
}

/// Reads what waits, page by page; what comes meanwhile may be missed.
#[derive(Debug)]
pub struct UnhauledPages {
    ledger: Ledger,
    /// The streams by number, read once: there may be a hundred thousand.
    names: BTreeMap<u32, String>,
    after: Vec<u8>,
    ended: bool,
}

impl UnhauledPages {
    /// The next page, of at most `limit` rows of which some may be digests and left out; `None` at the end.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn next(&mut self, limit: usize) -> Result<Option<Vec<Unhauled>>, LedgerError> {
        if self.ended {
            return Ok(None);
        }
        let read = self.ledger.db.begin_read()?;
        let expected = read.open_table(EXPECTED)?;
        let table = read.open_table(FOUND)?;
        let (mut page, mut seen) = (Vec::new(), 0);
        let mut more = false;
        for row in table.range(self.after.as_slice()..)? {
            let (key, value) = row?;
            if seen == limit {
                more = true;
                break;
            }
            seen += 1;
            let key = key.value();
            if !self.names.contains_key(&u32::from_be_bytes(take(&mut &*key, "found")?)) {
                self.names = stream_names(&read)?;
            }
            self.after = [key, &[0]].concat();
            let row = decode_found(value.value())?;
            let (held, gone) = (row.held, row.gone);
            let Ok(found) = FoundObject::new(object_of(&self.names, key, row)?) else { continue };
            // Digests are found in the same table, and are the audit's.
            if found.family.holds_records() {
                page.push(Unhauled { found, held, vouched: expected.get(key)?.is_some(), gone });
            }
        }
        self.ended = !more;
        Ok(Some(page))
    }
}

impl Ledger {
    /// What was found and is not hauled.
    pub fn unhauled(&self) -> UnhauledPages {
        UnhauledPages { ledger: self.clone(), names: BTreeMap::new(), after: Vec::new(), ended: false }
    }

    /// How much was found and is not hauled, at most `limit` rows of it.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn unhauled_counts(&self, limit: usize) -> Result<UnhauledCounts, LedgerError> {
        /// Rows in memory at a time.
        const PAGE: usize = 2_000;
        let (mut counts, mut pages, mut seen) = (UnhauledCounts::default(), self.unhauled(), 0);
        while seen < limit {
            let Some(page) = pages.next(PAGE)? else { break };
            seen += PAGE;
            for waiting in page {
                counts.objects += 1;
                if !waiting.vouched {
                    counts.unvouched.entry(waiting.found.account).or_default().add(waiting.held);
                }
            }
        }
        counts.more = !pages.ended;
        Ok(counts)
    }

    /// What waits under this object's key, whatever its ETag is; `None` when it is not among the found.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn waits(&self, object: &ObjectRef) -> Result<Option<Unhauled>, LedgerError> {
        let read = self.db.begin_read()?;
        let Some(key) = known_key(&read, object)? else { return Ok(None) };
        let Some(row) = found_row(&read, &key)? else { return Ok(None) };
        let vouched = read.open_table(EXPECTED)?.get(key.as_slice())?.is_some();
        let (held, gone) = (row.held, row.gone);
        let object = ObjectRef { etag: row.etag, version: row.version, size: row.size, ..object.clone() };
        Ok(FoundObject::new(object).ok().map(|found| Unhauled { found, held, vouched, gone }))
    }

    /// These found objects wait from now on (Unix seconds), as far as they do not yet.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn hold(&self, objects: &[ObjectRef], now: i64) -> Result<(), LedgerError> {
        self.mark(objects, |row| row.held.is_none().then(|| row.held = Some(now)).is_some())
    }

    /// This found object was gone from its bucket when it was to be read: the audit asks for it when a digest names it.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn mark_gone(&self, object: &ObjectRef) -> Result<(), LedgerError> {
        let is_new = |row: &FoundRow| row.etag == object.etag && !row.gone;
        self.mark(std::slice::from_ref(object), |row| is_new(row).then(|| row.gone = true).is_some())
    }

    /// Whether a digest names this object and it is neither hauled nor waits: the audit has called it missing.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn is_settled_missing(&self, object: &ObjectRef) -> Result<bool, LedgerError> {
        let is_named = self.expected(object)?.is_some();
        Ok(is_named && !self.is_found(object)? && self.object(object)?.is_none())
    }

    /// These are no longer among the found: nothing is to be done about them.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn forget_found(&self, objects: &[ObjectRef]) -> Result<(), LedgerError> {
        let keys = self.found_keys(objects)?;
        if keys.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut table = transaction.open_table(FOUND)?;
            for key in &keys {
                table.remove(key.as_slice())?;
            }
            Ok(())
        })
    }

    /// Changes the rows of found objects, as far as `change` says that it did.
    fn mark(&self, objects: &[ObjectRef], change: impl Fn(&mut FoundRow) -> bool) -> Result<(), LedgerError> {
        let keys = self.found_keys(objects)?;
        if keys.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut table = transaction.open_table(FOUND)?;
            for key in &keys {
                let row = table.get(key.as_slice())?.map(|row| decode_found(row.value())).transpose()?;
                let Some(mut row) = row else { continue };
                if change(&mut row) {
                    table.insert(key.as_slice(), encode_row(&row)?.as_slice())?;
                }
            }
            Ok(())
        })
    }

    fn found_keys(&self, objects: &[ObjectRef]) -> Result<Vec<Vec<u8>>, LedgerError> {
        let read = self.db.begin_read()?;
        objects.iter().filter_map(|object| known_key(&read, object).transpose()).collect()
    }
}

fn found_row(read: &ReadTransaction, key: &[u8]) -> Result<Option<FoundRow>, LedgerError> {
    let table = read.open_table(FOUND)?;
    table.get(key)?.map(|row| decode_found(row.value())).transpose()
}

#[cfg(test)]
mod tests {
    use trailhaul_core::model::StreamKey;
    use trailhaul_core::verify::{ChainId, ChainKind};

    use super::super::{LedgerOptions, place_of};
    use super::*;

    fn ledger(folder: &std::path::Path) -> Ledger {
        Ledger::open(folder, &LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None }).unwrap()
    }

    fn object(account: &str, family: &str, name: &str, etag: &str) -> ObjectRef {
        let key = format!(
            "AWSLogs/{account}/CloudTrail{family}/eu-west-1/2026/05/20/\
             {account}_CloudTrail{family}_eu-west-1_20260520T0205Z_{name}.json.gz"
        );
        ObjectRef { bucket: "s3://logs".into(), key, etag: etag.into(), version: None, size: 7 }
    }

    fn stream(object: &ObjectRef) -> StreamKey {
        place_of(object).unwrap().0
    }

    fn all(ledger: &Ledger, page: usize) -> Vec<Unhauled> {
        let (mut pages, mut all) = (ledger.unhauled(), Vec::new());
        while let Some(page) = pages.next(page).unwrap() {
            all.extend(page);
        }
        all
    }

    #[test]
    fn what_waits_is_paged_and_counted_and_digests_are_not_among_it() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let one: Vec<ObjectRef> = (0..5).map(|n| object("111122223333", "", &format!("a{n}"), "x")).collect();
        let two = vec![object("444455556666", "", "b", "x")];
        let digest = ObjectRef {
            key:
                "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/05/20/111122223333_CloudTrail-Digest_\
                  eu-west-1_trail_eu-west-1_20260520T021408Z.json.gz"
                    .into(),
            ..two[0].clone()
        };
        for objects in [&one, &two, &vec![digest.clone()]] {
            ledger.record_found(&stream(&objects[0]), objects).unwrap();
        }
        assert!(ledger.is_found(&digest).unwrap());
        assert_eq!(all(&ledger, 1), all(&ledger, 100));
        let found: Vec<ObjectRef> = all(&ledger, 2).into_iter().map(|waiting| waiting.found.object).collect();
        assert_eq!(found, [one.clone(), two.clone()].concat());

        ledger.hold(&one[..2], 100).unwrap();
        ledger.hold(&one[1..], 200).unwrap();
        let counts = ledger.unhauled_counts(1_000).unwrap();
        let held = Held { objects: 5, oldest: Some(100), newest: Some(200) };
        assert_eq!(counts.unvouched[&"111122223333".parse().unwrap()], held);
        assert_eq!(counts.held(), Held { objects: 6, ..held });
        assert_eq!((counts.objects, counts.more), (6, false));

        let chain = ChainId {
            bucket: "s3://logs".into(),
            prefix: String::new(),
            organization: None,
            account: "111122223333".parse().unwrap(),
            region: "eu-west-1".into(),
            trail: "trail".into(),
            home_region: "eu-west-1".into(),
            kind: ChainKind::Normal,
        };
        ledger.write_digests(|writer| writer.expect(&chain, 0, &[(one[0].clone(), [0; 32])])).unwrap();
        assert!(ledger.waits(&one[0]).unwrap().unwrap().vouched);
        assert_eq!(ledger.unhauled_counts(1_000).unwrap().held().objects, 5);
    }

    #[test]
    fn since_when_it_waits_is_set_once_for_each_content() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let first = object("111122223333", "", "a", "x");
        let of = stream(&first);
        assert_eq!(ledger.waits(&first).unwrap(), None);
        ledger.record_found(&of, std::slice::from_ref(&first)).unwrap();
        ledger.hold(std::slice::from_ref(&first), 100).unwrap();
        ledger.mark_gone(&first).unwrap();
        let waits = ledger.waits(&first).unwrap().unwrap();
        assert_eq!((waits.held, waits.gone), (Some(100), true));
        // It is there again, and then as another one.
        ledger.record_found(&of, std::slice::from_ref(&first)).unwrap();
        let waits = ledger.waits(&first).unwrap().unwrap();
        assert_eq!((waits.held, waits.gone), (Some(100), false));
        let second = ObjectRef { etag: "y".into(), ..first.clone() };
        ledger.record_found(&of, std::slice::from_ref(&second)).unwrap();
        ledger.mark_gone(&first).unwrap();
        let waits = ledger.waits(&first).unwrap().unwrap();
        assert_eq!((waits.held, waits.gone, waits.found.object), (None, false, second.clone()));
        ledger.hold(std::slice::from_ref(&first), 300).unwrap();
        drop(ledger);
        let ledger = self::ledger(folder.path());
        assert_eq!(ledger.waits(&second).unwrap().unwrap().held, Some(300));
        ledger.forget_found(&[second]).unwrap();
        assert_eq!(ledger.waits(&first).unwrap(), None);
    }
}
