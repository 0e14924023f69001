//! From what is due in a window to objects: small ones mostly, some with hundreds of records.

use std::collections::BTreeMap;

use anyhow::Result;

use super::copies::{Copy, Stream};
use crate::org::{Options, Organization};
use crate::rng::{ALNUM, Rng};
use crate::tree::{Place, Tree};

/// Writes the objects of the organization's trails.
pub(super) struct Objects<'a> {
    organization: &'a Organization,
    rng: Rng,
    slowest: BTreeMap<Stream, Slowest>,
    overtaken: u64,
}

/// When the last object of a stream appeared: of the stamps before `stamp`, and of that stamp itself.
#[derive(Default)]
struct Slowest {
    stamp: i64,
    before: i64,
    of_stamp: i64,
}

impl<'a> Objects<'a> {
    pub(super) fn new(options: &Options, organization: &'a Organization) -> Self {
        let rng = Rng::fork(options.seed, "objects");
        Self { organization, rng, slowest: BTreeMap::new(), overtaken: 0 }
    }

    /// How many objects appeared before one of their stream with an older stamp: where a cursor that follows
    /// the names would lose the older one.
    pub(super) fn overtaken(&self) -> u64 {
        self.overtaken
    }

    /// Writes what is due in the window that ends at `stamp`.
    pub(super) fn write(
        &mut self,
        stamp: i64,
        streams: BTreeMap<Stream, Vec<Copy>>,
        tree: &mut Tree,
    ) -> Result<()> {
        for (stream, mut copies) in streams {
            self.rng.shuffle(&mut copies);
            let mut rest = copies.as_slice();
            while !rest.is_empty() {
                let size = self.object_size().min(rest.len());
                let (these, others) = rest.split_at(size);
                rest = others;
                if let Some(place) = self.place(&stream, stamp, these) {
                    tree.put(place, these.iter().map(|copy| &*copy.piece))?;
                }
            }
        }
        Ok(())
    }

    /// Median 5, nine in ten up to 16, one in a hundred with hundreds: as observed in one real account.
    fn object_size(&mut self) -> usize {
        let size = match self.rng.below(100) {
            0..50 => self.rng.range(1, 5),
            50..90 => self.rng.range(5, 16),
            90..99 => self.rng.range(17, 60),
            _ => self.rng.range(200, 622),
        };
        usize::try_from(size).unwrap_or(1)
    }

    fn place(&mut self, stream: &Stream, stamp: i64, copies: &[Copy]) -> Option<Place> {
        let trail = self.organization.trails.get(stream.trail)?;
        let region = self.organization.regions.get(stream.region)?;
        let mut unique = String::new();
        self.rng.letters(ALNUM, 16, &mut unique);
        let key = trail.log_key(stream.account, stream.family, region, stamp, &unique);
        let delivered = self.delivered(copies);
        self.note_order(stream, stamp, delivered);
        let (bucket, region) = (trail.bucket.clone(), region.clone());
        Some(Place {
            trail: Some(stream.trail),
            bucket,
            key,
            account: stream.account,
            family: stream.family,
            region,
            delivered,
        })
    }

    /// Soon after the last record, mostly before the end of the window that the stamp names; one object in
    /// a hundred much later, behind objects with newer stamps.
    fn delivered(&mut self, copies: &[Copy]) -> i64 {
        let due = copies.iter().map(|copy| copy.due).max().unwrap_or_default();
        let late = if self.rng.chance(10_000) { self.rng.range(400, 2_400) } else { 0 };
        due + self.rng.range(5, 90) + late
    }

    fn note_order(&mut self, stream: &Stream, stamp: i64, delivered: i64) {
        let slowest = self.slowest.entry(stream.clone()).or_default();
        if slowest.stamp != stamp {
            slowest.before = slowest.before.max(slowest.of_stamp);
            (slowest.stamp, slowest.of_stamp) = (stamp, 0);
        }
        slowest.of_stamp = slowest.of_stamp.max(delivered);
        if delivered < slowest.before {
            self.overtaken += 1;
        }
    }
}
