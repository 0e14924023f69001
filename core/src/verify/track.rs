//! A chain that is followed while it grows.
//!
//! In: digests as they are found, in any order, and the time. Out: a [`Review`]: what is wrong with the chain as
//! it stands, and when to look again. The state is small (settled digests are joined into runs), can be written
//! down, and a review of it says what one walk over all digests that are there would say. Nothing here fails.
//!
//! Time decides about what is not there: an hour without a digest is pending until the grace has passed, then
//! missing; a digest that comes later heals it.

use serde::{Deserialize, Serialize};

use super::chain::{Chain, ChainEvent, Place, Previous, Seen};
use super::examine::Examined;
use super::name::{ChainId, ChainKind, DigestKey};
use super::outcome::{Class, DigestFault};
use super::survey::{CADENCE, Coverage, Interval, Scope};
use crate::model::{Family, LogKey};

/// Digests and runs that a chain remembers: what an attacker can plant in one bucket is forgotten beyond it.
const MAX_KEPT: usize = 2_000;

/// Digests that prove nothing and are remembered with their reason.
const MAX_FAULTS: usize = 500;

/// Hours after the newest digest that are named one by one; the rest is named as one.
const MAX_SILENT: usize = 24;

/// Other hours that are named one by one.
const MAX_HOLES: usize = 500;
/// The label of a digest that could not be read yet.
const UNREAD: &str = "unread";

/// How a chain is reviewed. Times and lengths are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackRules {
    /// The first moment that counts; `None`: all that is known.
    pub from: Option<i64>,
    /// The present.
    pub now: i64,
    /// How late a digest may come before it counts as missing.
    pub grace: i64,
    /// A chain that has been silent for longer ended before anybody looked: nothing is expected of it.
    pub keep: i64,
}

/// A digest that its own signature does not prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The end of its hour.
    pub end: i64,
    /// Its key.
    pub key: String,
    /// The outcome class, such as `bad-signature`.
    pub label: String,
    /// Why, for people.
    pub text: String,
    /// Whether it is a finding; otherwise it could not be examined yet.
    pub finding: bool,
    /// The same once a successor vouches for its content.
    pub finding_if_vouched: bool,
}

/// A chain and what is remembered beside its links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Track {
    chain: Chain,
    faults: Vec<Fault>,
    /// The families that its digests have ever named.
    families: Vec<Family>,
    /// Where the trail went on in another bucket or folder: from when, and what the digest there states.
    moved: Option<(i64, Previous)>,
    /// Nothing before this is remembered.
    floor: i64,
}

/// What a digest brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// Whether the digest itself may be acted upon.
    pub trusted: bool,
    /// Digests that came to be trusted through it: what they name may be acted upon now.
    pub vouched: Vec<Place>,
}

/// What is wrong, or worth a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// There should be a digest and there is none.
    Missing,
    /// An object stands where a digest should, and proves nothing.
    Unproven,
    /// A digest is not the one that stood there when its successor was signed.
    Replaced,
    /// A digest does not link to the one before it.
    Unlinked,
    /// Two digests cover the same time.
    Duplicate,
    /// No accusation: CloudTrail began anew after a time without digests.
    Stopped,
    /// No accusation: CloudTrail began anew without a gap.
    Restarted,
}

impl ProblemKind {
    /// Whether it is a finding rather than a note.
    pub fn is_finding(self) -> bool {
        !matches!(self, Self::Stopped | Self::Restarted)
    }
}

/// One problem of a chain. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What.
    pub kind: ProblemKind,
    /// The digest that it is about, or that should be there.
    pub place: Place,
    /// Start of the time that it leaves open.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// More about it, for people.
    pub text: String,
}

/// What a chain comes to at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// In order of kind and place.
    pub problems: Vec<Problem>,
    /// When time alone may change the answer, in seconds since the Unix epoch.
    pub look_at: i64,
    /// The end of the newest hour that a trusted digest covers.
    pub newest: Option<i64>,
}

/// The state as it is written down.
#[derive(Serialize, Deserialize)]
struct Stored {
    seen: Vec<Seen>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    families: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved: Option<(i64, Previous)>,
    #[serde(default)]
    floor: i64,
}

impl Track {
    /// Reads what [`Track::to_bytes`] wrote; `None` where it did not.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let mut track = Self { faults: stored.faults, floor: stored.floor, ..Self::default() };
        for seen in stored.seen {
            track.chain.accept(seen);
        }
        track.families = stored.families.iter().filter_map(|name| Family::from_folder(name)).collect();
        if let Some((at, stated)) = stored.moved {
            track.moved_on(at, &stated);
        }
        Some(track)
    }

    /// The state as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            seen: self.chain.export().collect(),
            faults: self.faults.clone(),
            families: self.families.iter().map(|family| family.folder().to_owned()).collect(),
            moved: self.moved.clone(),
            floor: self.floor,
        };
        // Numbers, texts and lists always have a JSON form.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Takes a digest that was examined.
    pub fn accept(&mut self, key: &str, end: i64, examined: &Examined) -> Followed {
        self.faults.retain(|fault| fault.key != key);
        if let Some(fault) = &examined.fault {
            self.note(Fault {
                end,
                key: key.to_owned(),
                label: fault.label().to_owned(),
                text: fault.to_string(),
                finding: fault.class() == Class::Finding,
                finding_if_vouched: fault.class_if_vouched() == Class::Finding,
            });
        }
        let place = place_of(&examined.seen);
        let events = self.chain.accept(examined.seen.clone());
        let mut followed = Followed { trusted: examined.fault.is_none(), vouched: Vec::new() };
        for event in events {
            match event {
                ChainEvent::Vouched { digest, .. } if digest == place => followed.trusted = true,
                ChainEvent::Vouched { digest, .. } => followed.vouched.push(digest),
                ChainEvent::Replaced { digest, .. } if digest == place => followed.trusted = false,
                ChainEvent::Replaced { .. } | ChainEvent::Reinstated { .. } | ChainEvent::Changed { .. } => {}
            }
        }
        if followed.trusted {
            self.list(examined);
        }
        self.keep_small();
        followed
    }

    /// Takes a digest that cannot be read, for now: its hour is not missing, and nobody is accused of it.
    pub fn accept_unread(&mut self, place: Place, end: i64, why: &str) {
        self.faults.retain(|fault| fault.key != place.key);
        self.note(Fault {
            end,
            key: place.key.clone(),
            label: UNREAD.to_owned(),
            text: why.chars().take(300).collect(),
            finding: false,
            finding_if_vouched: false,
        });
        self.chain.accept(Seen::Unusable { place, end });
        self.keep_small();
    }

    /// The trail went on in another bucket or folder, whose first digest states this of its predecessor here.
    pub fn moved_on(&mut self, at: i64, stated: &Previous) {
        self.chain.attest(stated);
        if self.moved.as_ref().is_none_or(|(before, _)| at >= *before) {
            self.moved = Some((at, stated.clone()));
        }
    }

    /// What trusted digests state of predecessors in other buckets or folders, with when they begin.
    pub fn arrivals(&self) -> Vec<(i64, Previous)> {
        self.chain.arrivals().map(|(link, previous)| (link.start, previous.clone())).collect()
    }

    /// Joins and forgets what is settled: digests that ended before `settled`, and what lies so far before the
    /// newest digest that nothing of it is remembered elsewhere either.
    pub fn settle(&mut self, settled: i64, keep: i64) {
        self.chain.settle_before(settled);
        if let Some(newest) = self.chain.newest() {
            let before = newest.saturating_sub(keep);
            if before > self.floor {
                self.floor = before;
                self.chain.forget_before(before);
                self.faults.retain(|fault| fault.end >= before);
            }
        }
    }

    /// Whether trusted digests cover all of a stretch of time, and the chain has ever named such a family.
    pub fn speaks_for(&self, id: &ChainId, family: Family, from: i64, until: i64) -> bool {
        let scope = Scope { from, until, now: i64::MAX / 2, grace: 0, stopped_at: None };
        let survey = self.chain.survey(id, &scope);
        self.families.contains(&family)
            && !survey.intervals.is_empty()
            && survey.intervals.iter().all(|interval| interval.coverage == Coverage::Covered)
    }

    /// Whether its digests have ever named such a family.
    pub fn lists(&self, family: Family) -> bool {
        self.families.contains(&family)
    }

    /// Whether a trusted successor vouches for the digest with this key.
    pub fn is_vouched(&self, key: &str) -> bool {
        self.chain.vouched().any(|place| place.key == key)
    }

    /// Digests that could not be examined yet.
    pub fn unread(&self) -> impl Iterator<Item = &Fault> {
        let vouched: Vec<&str> = self.chain.vouched().map(|place| place.key.as_str()).collect();
        self.faults.iter().filter(move |fault| !fault.finding && !vouched.contains(&fault.key.as_str()))
    }

    /// The end of the newest hour that a trusted digest covers.
    pub fn newest(&self) -> Option<i64> {
        self.chain.newest()
    }

    /// What the chain comes to.
    pub fn review(&self, id: &ChainId, rules: &TrackRules) -> Review {
        let scope = self.scope(id, rules);
        let mut review = Review { newest: self.chain.newest(), ..Review::default() };
        let survey = self.chain.survey(id, &scope);
        let problems = &mut review.problems;
        self.say_faults(rules, problems);
        let within = |place: &&Place| end_of(place).is_some_and(|end| end > scope.from);
        let mut say = |kind, place: &Place, text: &str| {
            let end = end_of(place).unwrap_or_default();
            problems.push(Problem {
                kind,
                place: place.clone(),
                from: end - CADENCE,
                to: end,
                text: text.to_owned(),
            });
        };
        // One that proves nothing has been named already.
        let proven = |place: &&Place| !self.faults.iter().any(|fault| fault.key == place.key);
        for place in self.chain.replaced().filter(within).filter(proven) {
            say(
                ProblemKind::Replaced,
                place,
                "it is not the digest that stood there when its successor was signed",
            );
        }
        for place in survey.unlinked.iter().filter(within) {
            say(ProblemKind::Unlinked, place, "it does not link to the digest before it");
        }
        for place in survey.duplicates.iter().filter(within) {
            say(ProblemKind::Duplicate, place, "another digest covers its hour already");
        }
        for place in survey.restarts.iter().filter(within) {
            let text = "a new chain begins without a gap: validation was switched off and on again";
            say(ProblemKind::Restarted, place, text);
        }
        say_intervals(&survey.intervals, review.newest, problems);
        problems.sort();
        problems.dedup();
        review.look_at = self.look_at(id, rules, &survey.intervals);
        review
    }

    fn scope(&self, id: &ChainId, rules: &TrackRules) -> Scope {
        let first = match id.kind {
            ChainKind::Normal => self.beginning().unwrap_or(rules.now),
            // It has no cadence: only what is named can be missing, and in no order of time.
            ChainKind::Backfill => i64::MIN,
        };
        let from = first.max(self.counts_from(rules));
        let newest = self.chain.newest();
        let silent = newest.filter(|newest| newest.saturating_add(rules.keep) < rules.now);
        let stopped_at = self.moved.as_ref().map(|(at, _)| *at).or(silent);
        Scope { from, until: rules.now, now: rules.now, grace: rules.grace, stopped_at }
    }

    /// Nothing before this counts.
    fn counts_from(&self, rules: &TrackRules) -> i64 {
        rules.from.unwrap_or(i64::MIN).max(self.floor)
    }

    /// Where the chain is known to have begun: with the digest that its oldest trusted one names, or else with that
    /// one. Nothing tells whether there ever were digests of earlier hours, so none of them is missing.
    fn beginning(&self) -> Option<i64> {
        let oldest = self.chain.oldest()?;
        let named = oldest.previous.as_ref().filter(|previous| !previous.lies_elsewhere(oldest));
        let named = named.and_then(|previous| end_of(&previous.place)).map(|end| end - CADENCE);
        Some(named.map_or(oldest.start, |named| named.min(oldest.start)))
    }

    fn say_faults(&self, rules: &TrackRules, problems: &mut Vec<Problem>) {
        let from = self.counts_from(rules);
        let vouched: Vec<&Place> = self.chain.vouched().collect();
        for fault in self.faults.iter().filter(|fault| fault.end > from) {
            let voucher = vouched.iter().find(|place| place.key == fault.key);
            let finding = if voucher.is_some() { fault.finding_if_vouched } else { fault.finding };
            if finding {
                problems.push(Problem {
                    kind: ProblemKind::Unproven,
                    place: Place { bucket: String::new(), key: fault.key.clone() },
                    from: fault.end - CADENCE,
                    to: fault.end,
                    text: format!("{}: {}", fault.label, fault.text),
                });
            }
        }
    }

    fn look_at(&self, id: &ChainId, rules: &TrackRules, intervals: &[Interval]) -> i64 {
        let pending = intervals.iter().filter(|interval| interval.coverage == Coverage::Pending);
        let first = pending.map(|interval| interval.from.saturating_add(CADENCE + rules.grace)).min();
        let next = self.chain.newest().filter(|_| id.kind == ChainKind::Normal && self.moved.is_none());
        let next = next.map(|newest| newest.saturating_add(CADENCE + rules.grace));
        match (first, next) {
            (Some(first), _) => first.max(rules.now + 60),
            // Silent already: each further hour counts when it is over.
            (None, Some(next)) if next <= rules.now => rules.now + CADENCE,
            (None, Some(next)) => next,
            (None, None) => rules.now + CADENCE,
        }
    }

    fn note(&mut self, fault: Fault) {
        if self.faults.len() >= MAX_FAULTS {
            self.faults.remove(0);
        }
        self.faults.push(fault);
    }

    /// Notes which families a digest names that may be acted upon.
    pub fn list(&mut self, examined: &Examined) {
        for log in &examined.logs {
            let Ok(key) = LogKey::parse(&log.key) else { continue };
            if !self.families.contains(&key.family) {
                self.families.push(key.family);
            }
        }
    }

    fn keep_small(&mut self) {
        if let Some(end) = self.chain.shrink_to(MAX_KEPT) {
            self.floor = self.floor.max(end);
        }
    }
}

impl DigestFault {
    /// Whether a later try may end otherwise although nothing in the bucket changes.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NoKeys { .. } | Self::KeyNotFound { .. })
    }
}

fn place_of(seen: &Seen) -> Place {
    match seen {
        Seen::Signed(link) | Seen::Unproven(link) | Seen::Vouched(link) => link.place.clone(),
        Seen::Unusable { place, .. } => place.clone(),
    }
}

fn end_of(place: &Place) -> Option<i64> {
    DigestKey::parse(&place.key).ok().map(|name| name.end)
}

/// Hours that are missing, and times in which CloudTrail made no digests. Of many hours the first are named one
/// by one.
fn say_intervals(intervals: &[Interval], newest: Option<i64>, problems: &mut Vec<Problem>) {
    let (mut silent, mut holes) = (0, 0);
    for interval in intervals {
        let Interval { from, to, coverage } = interval;
        let problem = |kind, place: &Place, text: &str| Problem {
            kind,
            place: place.clone(),
            from: *from,
            to: *to,
            text: text.to_owned(),
        };
        match coverage {
            Coverage::Missing(place) => {
                let after = newest.is_some_and(|newest| *from >= newest);
                let (count, most) = if after { (&mut silent, MAX_SILENT) } else { (&mut holes, MAX_HOLES) };
                *count += 1;
                if *count <= most {
                    problems.push(problem(ProblemKind::Missing, place, "no digest of this hour is there"));
                }
            }
            Coverage::Stopped(Some(next)) => {
                let text = "no digests until here: the trail was stopped, or validation was off";
                problems.push(problem(ProblemKind::Stopped, next, text));
            }
            _ => {}
        }
    }
}
