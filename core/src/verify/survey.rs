//! Which hours a chain vouches for, and which it does not.
//!
//! A survey is computed from what the chain knows at that moment, so that a digest that comes late heals it
//! by itself. Time between trusted digests is *stopped* where CloudTrail itself says that a new chain began,
//! *elsewhere* where the chain came from another bucket, *unproven* where an object stands that proves
//! nothing, and otherwise *missing*, named hour by hour; within the grace it is *pending*. After the newest
//! digest, hours are expected from the cadence alone: deleting the newest digests is noticed too.

use super::chain::{Chain, Link, Node, Place};
use super::name::{ChainId, ChainKind, DigestKey};

/// Seconds between the digests of a normal chain. Source: CloudTrail User Guide, "CloudTrail digest file
/// structure".
pub const CADENCE: i64 = 3600;

/// Rests of an hour up to this many seconds do not count as an hour of their own.
const TOLERANCE: i64 = 60;

/// The most hours of one hole that are named one by one; the rest is named as one interval.
const MAX_HOURS: i64 = 24 * 366;

/// What to survey. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Start of the time in question.
    pub from: i64,
    /// Its end: no digest is expected after it.
    pub until: i64,
    /// The present.
    pub now: i64,
    /// How late a digest may come before it counts as missing, in seconds.
    pub grace: i64,
    /// When the trail was stopped, where that is known: no digest is expected of later hours.
    pub stopped_at: Option<i64>,
}

/// What is known of an interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Trusted digests cover it without a hole.
    Covered,
    /// Before the first digest of the chain, which links to nothing.
    NotStarted,
    /// CloudTrail made no digests: the trail was stopped, deleted, or validation was switched off. The
    /// digest that began anew, where there is one.
    Stopped(Option<Place>),
    /// The chain came from another bucket: the digest to go on with there.
    Elsewhere(Place),
    /// An object stands where the digest should, and proves nothing.
    Unproven(Place),
    /// There should be a digest and there is none. Its key: known from its successor, or worked out.
    Missing(Place),
    /// The digest may still come.
    Pending,
}

impl Coverage {
    /// The outcome class, for reports and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Covered => "covered",
            Self::NotStarted => "not-started",
            Self::Stopped(_) => "gap-trail-stopped",
            Self::Elsewhere(_) => "other-bucket",
            Self::Unproven(_) => "gap-unproven",
            Self::Missing(_) => "gap-missing",
            Self::Pending => "pending",
        }
    }
}

/// A stretch of time and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Start, in seconds since the Unix epoch.
    pub from: i64,
    /// End, not included.
    pub to: i64,
    /// What is known.
    pub coverage: Coverage,
}

/// What a chain says of a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// In order of time. Of a normal chain they fill the scope; a backfill chain has holes only.
    pub intervals: Vec<Interval>,
    /// Trusted digests that cover time which another trusted one covers already.
    pub duplicates: Vec<Place>,
    /// Trusted digests that follow another in time but link elsewhere.
    pub unlinked: Vec<Place>,
    /// Trusted digests that link to nothing although the one before them ends when they start: validation
    /// was switched off and on within the hour.
    pub restarts: Vec<Place>,
}

impl Chain {
    /// Surveys the chain. `id` names the keys of digests that nothing names.
    pub fn survey(&self, id: &ChainId, scope: &Scope) -> Survey {
        match id.kind {
            ChainKind::Normal => Surveyor { chain: self, id, scope, survey: Survey::default() }.hours(),
            ChainKind::Backfill => self.survey_links(scope),
        }
    }

    /// A backfill chain has no cadence: only a predecessor that is named and not there is a hole.
    fn survey_links(&self, scope: &Scope) -> Survey {
        let mut survey = Survey::default();
        for node in self.trusted() {
            let Some(previous) = &node.link.previous else { continue };
            let Some(end) = DigestKey::parse(&previous.place.key).ok().map(|key| key.end) else { continue };
            if end <= scope.from || self.nodes.contains_key(&(end, previous.place.key.clone())) {
                continue;
            }
            let place = previous.place.clone();
            let coverage = if previous.lies_elsewhere(&node.link) {
                Coverage::Elsewhere(place)
            } else if node.link.end + scope.grace > scope.now {
                Coverage::Pending
            } else {
                Coverage::Missing(place)
            };
            survey.intervals.push(Interval { from: end - CADENCE, to: end, coverage });
        }
        survey.intervals.sort_by_key(|interval| interval.to);
        survey
    }

    fn trusts(&self, place: &Place) -> bool {
        let end = DigestKey::parse(&place.key).ok().map(|key| key.end);
        let node = end.and_then(|end| self.nodes.get(&(end, place.key.clone())));
        node.is_some_and(|node| node.is_trusted() && node.link.place.bucket == place.bucket)
    }

    fn trusted(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.is_trusted())
    }
}

struct Surveyor<'a> {
    chain: &'a Chain,
    id: &'a ChainId,
    scope: &'a Scope,
    survey: Survey,
}

impl Surveyor<'_> {
    fn hours(mut self) -> Survey {
        let mut before: Option<&Link> = None;
        let mut cursor = self.scope.from;
        let chain = self.chain;
        for node in chain.trusted() {
            let link = &node.link;
            if link.start >= self.scope.until {
                break;
            }
            if before.is_some_and(|before| link.end <= before.end) {
                self.survey.duplicates.push(link.place.clone());
                continue;
            }
            if link.end > self.scope.from {
                self.check_link(before, link);
                if link.start > cursor {
                    self.hole(cursor, before, link);
                }
                let (from, to) = (link.start.max(cursor), link.end.min(self.scope.until));
                self.push(from, to, Coverage::Covered);
                cursor = cursor.max(to);
            }
            before = Some(link);
        }
        self.tail(cursor, before);
        self.survey
    }

    /// Two digests that meet in time must also be linked.
    fn check_link(&mut self, before: Option<&Link>, link: &Link) {
        let Some(before) = before.filter(|before| before.end >= link.start) else { return };
        match &link.previous {
            None => self.survey.restarts.push(link.place.clone()),
            Some(previous) if previous.place != before.place => {
                self.survey.unlinked.push(link.place.clone());
            }
            Some(_) => {}
        }
    }

    /// The time between `from` and the start of a trusted digest that does not meet it.
    fn hole(&mut self, from: i64, before: Option<&Link>, link: &Link) {
        let to = link.start.min(self.scope.until);
        match &link.previous {
            None if before.is_none() => self.push(from, to, Coverage::NotStarted),
            None => self.stopped(from, to, link),
            Some(previous) if before.is_some_and(|before| before.place == previous.place) => {
                self.stopped(from, to, link);
            }
            Some(previous) if previous.lies_elsewhere(link) => {
                self.push(from, to, Coverage::Elsewhere(previous.place.clone()));
            }
            Some(previous) if self.chain.trusts(&previous.place) => {
                self.survey.unlinked.push(link.place.clone());
                self.missing(from, to, link.start, None);
            }
            Some(previous) => {
                let named = DigestKey::parse(&previous.place.key).map_or(link.start, |key| key.end);
                if named <= from || named + TOLERANCE >= link.start {
                    self.missing(from, to, link.start, Some(&previous.place));
                } else {
                    // The digest that is named ended earlier: CloudTrail itself left out the time after it.
                    self.missing(from, named.min(to), named, Some(&previous.place));
                    self.stopped(named, to, link);
                }
            }
        }
    }

    /// Time that CloudTrail's own digests leave out, but for objects in it that prove nothing.
    fn stopped(&mut self, from: i64, to: i64, next: &Link) {
        let from = self.objects(from, to);
        self.push(from, to, Coverage::Stopped(Some(next.place.clone())));
    }

    /// The time after the newest trusted digest.
    fn tail(&mut self, from: i64, newest: Option<&Link>) {
        let until = self.scope.until;
        let stop = self.scope.stopped_at.unwrap_or(i64::MAX).clamp(from, until.max(from));
        let Some(newest) = newest else {
            // Nothing trusted at all: there is no cadence to go by, only objects that prove nothing.
            let from = self.objects(from, until);
            return self.push(from, until, Coverage::Pending);
        };
        let hours = (stop - newest.end).max(0) / CADENCE;
        let anchor = newest.end + hours * CADENCE;
        if hours > 0 {
            self.missing(from, anchor.min(until), anchor, None);
        }
        let rest = anchor.max(from);
        if stop < until {
            self.push(rest, until, Coverage::Stopped(None));
        } else {
            self.push(rest, until, Coverage::Pending);
        }
    }

    /// Hours without a trusted digest, counted back from `anchor`; the last one's key may be known.
    fn missing(&mut self, from: i64, to: i64, anchor: i64, last: Option<&Place>) {
        let hours = ((anchor - from).max(1) + CADENCE - 1) / CADENCE;
        let mut start = from;
        for back in (0..hours.min(MAX_HOURS)).rev() {
            let end = anchor - back * CADENCE;
            if end - start <= TOLERANCE && back > 0 {
                continue;
            }
            let place = match last.filter(|_| back == 0) {
                Some(place) => place.clone(),
                None => Place { bucket: self.bucket(), key: self.id.key_at(end) },
            };
            let coverage = match self.object_within(start, end) {
                Some((_, place)) => Coverage::Unproven(place),
                None if end + self.scope.grace > self.scope.now => Coverage::Pending,
                None => Coverage::Missing(place),
            };
            self.push(start, end.min(to), coverage);
            start = end;
        }
    }

    /// Names the objects between `from` and `to` that prove nothing; returns where the last of them ends.
    fn objects(&mut self, from: i64, to: i64) -> i64 {
        let mut start = from;
        while let Some((end, place)) = self.object_within(start, to) {
            self.push(start, end, Coverage::Unproven(place));
            start = end;
        }
        start
    }

    /// An object that proves nothing whose hour ends in `start+1 ..= end`.
    fn object_within(&self, start: i64, end: i64) -> Option<(i64, Place)> {
        if start >= end {
            return None;
        }
        let within = self.chain.nodes.range((start + 1, String::new())..(end + 1, String::new()));
        let mut untrusted = within.filter(|(_, node)| !node.is_trusted());
        untrusted.next().map(|(id, node)| (id.0, node.link.place.clone()))
    }

    /// The bucket as the digests themselves call it; in a copy it is not the one that is being read.
    fn bucket(&self) -> String {
        let any = self.chain.trusted().next().map(|node| node.link.place.bucket.clone());
        any.unwrap_or_else(|| self.id.bucket.clone())
    }

    fn push(&mut self, from: i64, to: i64, coverage: Coverage) {
        if from >= to {
            return;
        }
        if let Some(last) = self.survey.intervals.last_mut()
            && last.to == from
            && last.coverage == coverage
        {
            last.to = to;
            return;
        }
        self.survey.intervals.push(Interval { from, to, coverage });
    }
}
