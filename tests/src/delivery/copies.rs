//! Which trail delivers a record, when, and with which bytes.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Result;

use crate::org::{Account, Options, Organization};
use crate::records::{self, Family, Record};
use crate::rng::Rng;
use crate::time::{DAY, window_end};
use crate::tree::{Piece, Tree};

/// A folder tree of one trail, which gets objects of its own. The trail by its position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stream {
    pub(super) trail: usize,
    pub(super) account: Account,
    pub(super) region: usize,
    pub(super) family: Family,
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) piece: Rc<Piece>,
    /// When the trail has it, in seconds since the Unix epoch.
    pub(super) due: i64,
}

/// What is due, by the end of its window.
#[derive(Debug, Default)]
pub(super) struct Pending {
    windows: BTreeMap<i64, BTreeMap<Stream, Vec<Copy>>>,
}

impl Pending {
    fn add(&mut self, stream: Stream, piece: &Rc<Piece>, due: i64) {
        let copies = self.windows.entry(window_end(due)).or_default().entry(stream).or_default();
        copies.push(Copy { piece: Rc::clone(piece), due });
    }

    /// The oldest window that ends at `until` or before.
    pub(super) fn due(&mut self, until: i64) -> Option<(i64, BTreeMap<Stream, Vec<Copy>>)> {
        let entry = self.windows.first_entry()?;
        (*entry.key() <= until).then(|| entry.remove_entry())
    }
}

/// Hands records to trails.
pub(super) struct Copies<'a> {
    organization: &'a Organization,
    rng: Rng,
    far_copies: bool,
    conflicts: u64,
}

impl<'a> Copies<'a> {
    pub(super) fn new(options: &Options, organization: &'a Organization) -> Self {
        let rng = Rng::fork(options.seed, "copies");
        Self { organization, rng, far_copies: options.far_copies, conflicts: 0 }
    }

    /// How many contents have the id of another.
    pub(super) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Notes the record and gives a copy to each trail that wants it.
    pub(super) fn deliver(
        &mut self,
        region: usize,
        record: Record,
        tree: &mut Tree,
        pending: &mut Pending,
    ) -> Result<()> {
        let original = Rc::new(Piece { number: tree.note(&record)?, text: record.text.clone() });
        let mut others = None;
        let mut first = true;
        for (trail, watcher) in self.organization.trails.iter().enumerate() {
            if !watcher.wants(record.account, record.family, record.management) {
                continue;
            }
            let stream = Stream { trail, account: record.account, region, family: record.family };
            for due in self.deliveries(record.time) {
                // Without an id, other bytes are simply another record: no conflict to show.
                let differs = !first && record.id.is_some() && self.rng.chance(10_000);
                let piece =
                    if differs { self.reordered(&record, &mut others, tree)? } else { Rc::clone(&original) };
                first = false;
                pending.add(stream.clone(), &piece, due);
                if record.id.is_none() && self.rng.chance(500_000) {
                    pending.add(stream.clone(), &piece, due);
                }
            }
        }
        Ok(())
    }

    /// When one trail delivers: once, sometimes again, and on request days later.
    fn deliveries(&mut self, time: i64) -> Vec<i64> {
        let first = time + self.delay();
        let mut all = vec![first];
        if self.rng.chance(20_000) {
            all.push(first + self.rng.range(300, 1_200));
        }
        if self.far_copies {
            for days in [6, 8, 25] {
                if self.rng.chance(4_000) {
                    all.push(first + days * DAY);
                }
            }
        }
        all
    }

    /// Half within some three minutes, nearly all within six, a few within a quarter of an hour.
    fn delay(&mut self) -> i64 {
        if self.rng.chance(30_000) { self.rng.range(360, 900) } else { self.rng.range(20, 360) }
    }

    fn reordered(
        &mut self,
        record: &Record,
        others: &mut Option<Rc<Piece>>,
        tree: &mut Tree,
    ) -> Result<Rc<Piece>> {
        if let Some(known) = others {
            return Ok(Rc::clone(known));
        }
        let other = Record { text: records::reordered(&record.text), ..record.clone() };
        self.conflicts += 1;
        let piece = Rc::new(Piece { number: tree.note(&other)?, text: other.text });
        *others = Some(Rc::clone(&piece));
        Ok(piece)
    }
}
