//! From happenings to objects: who delivers which record when, together with what.
//!
//! In: options and an organization. Out: a tree. For each window of five minutes the events of all accounts
//! and regions are made, each trail that wants an event gets a copy that falls due some minutes later, and
//! what is due in a window is written as small objects. A stamp is the end of its window; some objects appear
//! long after newer ones. Invariants: a copy is byte-identical to its event, except one in a hundred of the
//! second copies, which has its fields in another order; an object appears after everything in it happened.
//! Memory: the copies that are not yet due.

mod copies;
mod objects;

use std::path::Path;

use anyhow::Result;

use crate::org::{Options, Organization};
use crate::records::{self, Kind, Record, Scene};
use crate::rng::Rng;
use crate::time::{HOUR, WINDOW};
use crate::tree::Tree;
use copies::{Copies, Pending};

/// Writes the organization's logs below `root` into a tree; the caller finishes it.
pub fn simulate(root: &Path, options: &Options) -> Result<(Organization, Tree)> {
    let organization = Organization::new(options)?;
    let mut tree = Tree::create(root, options, &organization)?;
    let mut happenings = Happenings::new(options, &organization);
    let mut copies = Copies::new(options, &organization);
    let mut pending = Pending::default();
    let mut writer = objects::Objects::new(options, &organization);

    let end = options.start + i64::from(options.hours) * HOUR;
    let mut window = options.start;
    while window < end {
        for (region, record) in happenings.of_window(window) {
            copies.deliver(region, record, &mut tree, &mut pending)?;
        }
        window += WINDOW;
        while let Some((stamp, streams)) = pending.due(window) {
            writer.write(stamp, streams, &mut tree)?;
        }
    }
    while let Some((stamp, streams)) = pending.due(i64::MAX) {
        writer.write(stamp, streams, &mut tree)?;
    }
    let totals = tree.truth.totals();
    (totals.conflicts, totals.overtaken) = (copies.conflicts(), writer.overtaken());
    Ok((organization, tree))
}

/// Makes the events.
struct Happenings<'a> {
    organization: &'a Organization,
    rng: Rng,
    /// Events per window of a plain account in a plain region, in millionths.
    base: u64,
    made: usize,
}

impl<'a> Happenings<'a> {
    fn new(options: &Options, organization: &'a Organization) -> Self {
        let rng = Rng::fork(options.seed, "happenings");
        Self { organization, rng, base: base_rate(options, organization), made: 0 }
    }

    /// The records of all accounts and regions whose events happen in the window from `start`.
    fn of_window(&mut self, start: i64) -> Vec<(usize, Record)> {
        let mut all = Vec::new();
        let organization = self.organization;
        for (account, _) in organization.accounts.iter().enumerate() {
            for (region, _) in organization.regions.iter().enumerate() {
                let busy = if self.rng.chance(8_000) { 15 } else { 1 };
                let expected = self.base * weight(account, region) * busy;
                let count = expected / 1_000_000 + u64::from(self.rng.chance(expected % 1_000_000));
                for _ in 0..count {
                    self.happen(account, region, start, &mut all);
                }
            }
        }
        all
    }

    fn happen(&mut self, account: usize, region: usize, start: i64, all: &mut Vec<(usize, Record)>) {
        let accounts = &self.organization.accounts;
        let (Some(&account), Some(name)) = (accounts.get(account), self.organization.regions.get(region))
        else {
            return;
        };
        let other = *self.rng.pick(accounts);
        let time = self.rng.range(start, start + WINDOW - 1);
        let scene = Scene { account, other, organization: &self.organization.id, region: name, time };
        // However small the organization, the first events show every kind once.
        let kind = Kind::ALL.get(self.made).copied().unwrap_or_else(|| Kind::draw(&mut self.rng));
        self.made += 1;
        all.extend(records::make(kind, &scene, &mut self.rng).into_iter().map(|record| (region, record)));
    }
}

/// One account in five is busy and one region is where most happens, as in life.
fn weight(account: usize, region: usize) -> u64 {
    let busy_account = if account % 5 == 2 { 6 } else { 1 };
    let busy_region = if region == 0 { 3 } else { 1 };
    busy_account * busy_region
}

/// Events per window and unit of weight, in millionths, so that the mean is what the options say.
fn base_rate(options: &Options, organization: &Organization) -> u64 {
    let (accounts, regions) = (organization.accounts.len(), organization.regions.len());
    let weights = |n: usize, one: fn(usize) -> u64| (0..n).map(one).sum::<u64>();
    let total =
        weights(accounts, |account| weight(account, 1)) * weights(regions, |region| weight(0, region));
    let windows = u64::from(options.hours) * (HOUR / WINDOW).unsigned_abs();
    let events = match options.raw_bytes {
        Some(bytes) => bytes / BYTES_PER_EVENT,
        None => u64::from(options.rate) * (accounts * regions) as u64 * u64::from(options.hours),
    };
    // Bursts (8 in 1,000, fifteenfold) add about an eighth.
    events.saturating_mul(1_000_000) * 8 / 9 / (total * windows).max(1)
}

/// Inflated bytes that one event comes to, with all its copies: measured over eight accounts.
const BYTES_PER_EVENT: u64 = 1_750;

#[cfg(test)]
mod tests;
