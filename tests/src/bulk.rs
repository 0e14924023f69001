//! Trees of one shape, for measurements of memory and of speed.
//!
//! In: a shape and a size. Out: a tree of one account and one trail, every record delivered once. One object
//! of any size; very many small objects; very many ids in ten minutes of event time. Memory: one record and,
//! for the truth, one number per record of the object being written.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::org::{Account, Options, Organization};
use crate::records::{Family, Kind, Record, Scene, make};
use crate::rng::{ALNUM, Rng};
use crate::time::{HOUR, WINDOW, window_end};
use crate::tree::{Piece, Place, Tree};

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One object of at least so many inflated bytes.
    OneObject {
        /// Inflated bytes.
        raw_bytes: u64,
    },
    /// So many objects.
    SmallObjects {
        /// How many.
        objects: u64,
        /// Records in each.
        records: u64,
    },
    /// So many objects whose records are like those of a real account: a few hundred calls come again and again
    /// with new ids and times, some at a time, so that they compress as its logs do, about ten to one.
    AlikeObjects {
        /// How many.
        objects: u64,
        /// Records in each.
        records: u64,
    },
    /// So many short records whose event times lie within one slot of ten minutes.
    OneSlot {
        /// How many.
        ids: u64,
        /// Records in each object.
        records: u64,
    },
}

/// Writes a tree of this shape; the caller finishes it.
pub fn write(root: &Path, options: &Options, shape: Shape) -> Result<(Organization, Tree)> {
    let options = Options { accounts: 1, regions: 1, ..options.clone() };
    let mut organization = Organization::new(&options)?;
    organization.trails.truncate(1);
    let mut tree = Tree::create(root, &options, &organization)?;
    let (rng, pool) = (Rng::new(options.seed), Vec::new());
    let mut bulk =
        Bulk { tree: &mut tree, organization: &organization, options: &options, rng, pool, picked: 0 };
    match shape {
        Shape::OneObject { raw_bytes } => {
            bulk.object(options.start, |object| object.raw_size() < raw_bytes)?;
        }
        Shape::SmallObjects { objects, records } => bulk.objects(objects, records)?,
        Shape::AlikeObjects { objects, records } => {
            bulk.fill_pool()?;
            bulk.objects(objects, records)?;
        }
        Shape::OneSlot { ids, records } => bulk.slot(ids, records.max(1))?,
    }
    Ok((organization, tree))
}

struct Bulk<'a> {
    tree: &'a mut Tree,
    organization: &'a Organization,
    options: &'a Options,
    rng: Rng,
    /// Records to begin from; empty where each is made for itself.
    pool: Vec<Record>,
    /// How many were begun from it.
    picked: u64,
}

/// Calls that come again and again.
const POOL: usize = 300;

/// How many of them come in turn with each other at a time.
const AT_ONCE: u64 = 24;

/// After so many records one of those makes room for the next.
const STAY: u64 = 50;

impl Bulk<'_> {
    fn fill_pool(&mut self) -> Result<()> {
        let Place { account, region, .. } = self.place(self.options.start)?;
        let mut pool = Vec::new();
        while pool.len() < POOL {
            pool.append(&mut self.records(account, &region, self.options.start));
        }
        self.pool = pool;
        Ok(())
    }

    /// The records of one event.
    fn records(&mut self, account: Account, region: &str, time: i64) -> Vec<Record> {
        if !self.pool.is_empty() {
            // Callers work for a while and are then followed by others.
            let at = (self.picked / STAY + self.rng.below(AT_ONCE)) % self.pool.len() as u64;
            self.picked += 1;
            let record = usize::try_from(at).ok().and_then(|at| self.pool.get(at));
            return record.map(|record| renewed(record, time, &mut self.rng)).into_iter().collect();
        }
        let kind = *self.rng.pick(&[Kind::Call, Kind::Call, Kind::ServiceCall, Kind::S3Data, Kind::Failure]);
        let scene = Scene { account, other: account, organization: &self.organization.id, region, time };
        make(kind, &scene, &mut self.rng)
    }

    /// Objects spread evenly over the hours of the options.
    fn objects(&mut self, objects: u64, records: u64) -> Result<()> {
        let span = u64::from(self.options.hours) * HOUR.unsigned_abs();
        for index in 0..objects {
            let offset = u128::from(index) * u128::from(span) / u128::from(objects.max(1));
            let at = self.options.start + i64::try_from(offset)?;
            let mut left = records;
            self.object(at, |_| {
                let more = left > 0;
                left = left.saturating_sub(1);
                more
            })?;
        }
        Ok(())
    }

    /// One object with events around `at`, as long as `more` says so.
    fn object(&mut self, at: i64, mut more: impl FnMut(&crate::tree::ObjectWriter) -> bool) -> Result<()> {
        let place = self.place(at)?;
        let (account, region) = (place.account, place.region.clone());
        let mut object = self.tree.begin(place)?;
        while more(&object) {
            let time = at + self.rng.range(0, WINDOW - 1);
            for record in self.records(account, &region, time) {
                let number = self.tree.note(&record)?;
                object.record(&Piece { number, text: record.text })?;
            }
        }
        object.finish(self.tree)?;
        Ok(())
    }

    /// Objects of short records; all event times in one slot that begins at a multiple of ten minutes.
    fn slot(&mut self, ids: u64, records: u64) -> Result<()> {
        let slot = self.options.start.div_euclid(2 * WINDOW) * 2 * WINDOW;
        let mut left = ids;
        while left > 0 {
            let place = self.place(slot + WINDOW)?;
            let account = place.account;
            let mut object = self.tree.begin(place)?;
            for _ in 0..records.min(left) {
                let (id, time) = (self.rng.guid(), slot + self.rng.range(0, 2 * WINDOW - 1));
                let stamp = crate::time::iso(time);
                let text = format!(
                    r#"{{"eventVersion":"1.08","eventTime":"{stamp}","eventName":"PutObject","eventID":"{id}","recipientAccountId":"{account}"}}"#
                );
                let number = self.tree.truth.content(account, Some(&id), time, text.as_bytes())?;
                object.record(&Piece { number, text })?;
            }
            left = left.saturating_sub(records);
            object.finish(self.tree)?;
        }
        Ok(())
    }

    fn place(&mut self, at: i64) -> Result<Place> {
        let trail = self.organization.trails.first().context("no trail")?;
        let account = *self.organization.accounts.first().context("no account")?;
        let region = self.organization.regions.first().context("no region")?.clone();
        let stamp = window_end(at + WINDOW);
        let mut unique = String::new();
        self.rng.letters(ALNUM, 16, &mut unique);
        let family = Family::CloudTrail;
        let key = trail.log_key(account, family, &region, stamp, &unique);
        Ok(Place {
            trail: Some(0),
            bucket: trail.bucket.clone(),
            key,
            account,
            family,
            region,
            delivered: stamp + 10,
        })
    }
}

/// The same call at another time, with ids of its own.
fn renewed(record: &Record, time: i64, rng: &mut Rng) -> Record {
    let (id, request, stamp) = (rng.guid(), rng.guid(), crate::time::iso(time));
    let mut text = record.text.clone();
    for (name, value) in [("eventID", &id), ("requestID", &request), ("eventTime", &stamp)] {
        let start = format!("\"{name}\":\"");
        let Some(from) = text.find(&start).map(|at| at + start.len()) else { continue };
        let length = text.get(from..).and_then(|rest| rest.find('"')).unwrap_or(0);
        // Ids of S3 are shorter, and upper case: what counts is that they are new.
        if let Some(value) = value.get(..length) {
            text.replace_range(from..from + length, value);
        }
    }
    Record { id: record.id.is_some().then_some(id), time, text, ..record.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use crate::truth::{self, Truth};

    fn tree(shape: Shape) -> Truth {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &Options::default(), shape).unwrap().1.finish().unwrap();
        truth::read(&root.path().join("truth.ndjson")).unwrap()
    }

    #[test]
    fn one_object_is_one() {
        let truth = tree(Shape::OneObject { raw_bytes: 1 << 20 });
        assert_eq!(truth.objects.len(), 1);
        assert!((1 << 20..(1 << 20) + 4_096).contains(&truth.objects[0].raw_size));
        assert_eq!(truth.objects[0].count() as usize, truth.contents.len());
    }

    #[test]
    fn small_objects_are_many() {
        let truth = tree(Shape::SmallObjects { objects: 50, records: 3 });
        assert_eq!((truth.objects.len(), truth.contents.len()), (50, 150));
        let expected = model::expected_at_once(&truth, model::WINDOW);
        assert_eq!((expected.count(), expected.duplicates), (150, 0));
    }

    #[test]
    fn alike_objects_compress_as_real_logs_do() {
        let truth = tree(Shape::AlikeObjects { objects: 6, records: 400 });
        assert_eq!((truth.objects.len(), truth.contents.len()), (6, 2_400));
        let expected = model::expected_at_once(&truth, model::WINDOW);
        assert_eq!((expected.count(), expected.duplicates), (2_400, 0));
        let ratio = truth.tail.raw_bytes as f64 / truth.tail.stored_bytes as f64;
        assert!((8.0..13.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn one_slot_holds_all_ids() {
        let truth = tree(Shape::OneSlot { ids: 2_500, records: 1_000 });
        assert_eq!(truth.objects.iter().map(truth::Object::count).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let slots: std::collections::BTreeSet<i64> = truth.contents.iter().map(|c| c.time / 600).collect();
        assert_eq!(slots.len(), 1);
    }
}
