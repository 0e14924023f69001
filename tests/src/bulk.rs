//! Trees of one shape, for measurements of memory and of speed.
//!
//! In: a shape and a size. Out: a tree of one account and one trail, every record delivered once. One object
//! of any size; very many small objects; very many ids in ten minutes of event time. Memory: one record and,
//! for the truth, one number per record of the object being written.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::org::{Options, Organization};
use crate::records::{Family, Kind, Scene, make};
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
    let mut bulk =
        Bulk { tree: &mut tree, organization: &organization, options: &options, rng: Rng::new(options.seed) };
    match shape {
        Shape::OneObject { raw_bytes } => {
            bulk.object(options.start, |object| object.raw_size() < raw_bytes)?;
        }
        Shape::SmallObjects { objects, records } => bulk.objects(objects, records)?,
        Shape::OneSlot { ids, records } => bulk.slot(ids, records.max(1))?,
    }
    Ok((organization, tree))
}

struct Bulk<'a> {
    tree: &'a mut Tree,
    organization: &'a Organization,
    options: &'a Options,
    rng: Rng,
}

impl Bulk<'_> {
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
            let kind =
                *self.rng.pick(&[Kind::Call, Kind::Call, Kind::ServiceCall, Kind::S3Data, Kind::Failure]);
            let time = at + self.rng.range(0, WINDOW - 1);
            let organization = &self.organization.id;
            let scene = Scene { account, other: account, organization, region: &region, time };
            for record in make(kind, &scene, &mut self.rng) {
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
    fn one_slot_holds_all_ids() {
        let truth = tree(Shape::OneSlot { ids: 2_500, records: 1_000 });
        assert_eq!(truth.objects.iter().map(truth::Object::count).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let slots: std::collections::BTreeSet<i64> = truth.contents.iter().map(|c| c.time / 600).collect();
        assert_eq!(slots.len(), 1);
    }
}
