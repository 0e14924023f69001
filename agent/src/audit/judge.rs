//! What a walked chain comes to: its faults, its links, its hours.
//!
//! In: a [`Walk`] and what is known of its neighbours and of its trail. Out: a [`ChainReport`], worst first.
//! A finding needs proof: what only the cadence misses is weighed by what CloudTrail says of the trail, and in a
//! copy that has lost every signature nothing is called proven, only consistent.

use std::collections::BTreeSet;

use trailhaul_core::verify::{CADENCE, Class, Coverage, DigestFault, DigestKey, Place, Scope};

use super::report::{ChainReport, Problem, Weight, time};
use super::source::{Outlook, ReadFailure};
use super::standing::Standing;
use super::walk::{FaultKind, Walk};

/// What excuses missing digests after the newest one.
struct Tail {
    /// The end of the newest digest, or when the trail was stopped.
    from: i64,
    /// When it was started again.
    until: i64,
    weight: Weight,
    outcome: &'static str,
    why: &'static str,
}

impl Tail {
    /// Whether nobody is accused of this time without a digest.
    fn excuses(&self, from: i64, to: i64) -> bool {
        to > self.from && from < self.until
    }
}

impl Walk<'_> {
    /// Whether the trail delivers, asked only where its newest digests are not there.
    pub(super) async fn standing(&self, moved_at: Option<i64>) -> Option<Standing> {
        if self.source.outlook != Outlook::Live || moved_at.is_some() {
            return None;
        }
        let newest = self.chain.newest()?;
        let survey = self.chain.survey(&self.report.chain, &self.shared.scope);
        let missing = |coverage: &Coverage| matches!(coverage, Coverage::Missing(_));
        if !survey.intervals.iter().any(|i| i.from >= newest && missing(&i.coverage)) {
            return None;
        }
        match &self.shared.oracle {
            Some(oracle) => Some(oracle.standing(&self.report.chain).await),
            None => Some(Standing::Unknown("nobody to ask is configured".to_owned())),
        }
    }

    /// Judges the chain. `moved_at`: when another bucket or folder took over, if one did; `arrived`: where
    /// that is known, whether the digest that this chain came from is there and the one that it names;
    /// `standing`: where it was asked, what CloudTrail says of the trail.
    pub(super) fn finish(
        mut self,
        moved_at: Option<i64>,
        arrived: Option<bool>,
        standing: Option<Standing>,
    ) -> ChainReport {
        let stopped_at = match standing {
            Some(Standing::Stopped(at)) => Some(at),
            _ => moved_at,
        };
        let mut scope = Scope { stopped_at, ..self.shared.scope };
        if let Some(oldest) = self.chain.oldest().filter(|_| self.shared.whole) {
            scope.from = oldest.start;
            if let Some(previous) = &oldest.previous {
                let (object, why) =
                    (format!("s3://{}", previous.place), "the chain before this digest is not here");
                self.report.push(Problem::object(Weight::Note, "digest", "chain-goes-on", object, why));
            }
        }
        self.report.surveyed_from = scope.from;
        self.report_assumed();
        self.report_faults();
        self.report_links(&scope);
        let tail = self.tail(standing);
        self.report_intervals(&scope, arrived, tail.as_ref());
        self.report
            .problems
            .sort_by(|a, b| (b.weight, &a.from, &a.object).cmp(&(a.weight, &b.from, &b.object)));
        self.report
    }

    /// Says of a copy without signatures what holds together and what would prove it.
    fn report_assumed(&mut self) {
        let Some(newest) = &self.assumed else { return };
        let (logs, object) = (&mut self.report.logs, format!("s3://{}", newest.place));
        (logs.unknown, logs.valid) = (logs.unknown + logs.valid, 0);
        let agree = self.chain.vouched().count();
        let why = format!(
            "no digest of this copy has its signature in its metadata; {agree} of them agree with each other; the \
             newest is this one, whose SHA-256 is {}: its signature, in the metadata of the original, would prove \
             it and all that link to it",
            newest.sha256
        );
        self.report.push(Problem::object(Weight::Unknown, "digest", "signatures-lost", object, why));
    }

    fn report_faults(&mut self) {
        let vouched: BTreeSet<&Place> = self.chain.vouched().collect();
        for (place, fault) in std::mem::take(&mut self.faults) {
            let bucket = if place.bucket.is_empty() { &self.source.bucket } else { &place.bucket };
            let object = format!("s3://{bucket}/{}", place.key);
            if self.assumed.is_some()
                && matches!(fault.kind, FaultKind::Digest(DigestFault::SignatureMissing))
            {
                self.report.digests.unknown += 1;
                continue;
            }
            let (class, outcome, why) = match &fault.kind {
                FaultKind::Digest(kind) if vouched.contains(&place) => {
                    let why = format!("{kind}; its successor vouches for its content");
                    (kind.class_if_vouched(), kind.label(), why)
                }
                FaultKind::Digest(kind) if fault.logs > 0 => {
                    let why = format!("{kind}; the {} log files that it names were not checked", fault.logs);
                    (kind.class(), kind.label(), why)
                }
                FaultKind::Digest(kind) => (kind.class(), kind.label(), kind.to_string()),
                FaultKind::Unread(failure) => {
                    let (outcome, why) = describe(failure);
                    (Class::Unknown, outcome, why)
                }
            };
            self.report.digests.count(class);
            self.report.digests.vouched += u64::from(class == Class::Good);
            self.report.push(Problem::object(class, "digest", outcome, object, why));
        }
    }

    fn report_links(&mut self, scope: &Scope) {
        let within = |place: &&Place| {
            DigestKey::parse(&place.key)
                .is_ok_and(|name| name.end > scope.from && name.end <= scope.until + CADENCE)
        };
        let replaced: Vec<Place> = self.chain.replaced().filter(within).cloned().collect();
        let survey = self.chain.survey(&self.report.chain, scope);
        let say = |report: &mut ChainReport, weight, outcome, place: &Place, why: &str| {
            report.push(Problem::object(weight, "digest", outcome, format!("s3://{place}"), why));
        };
        for place in &replaced {
            self.report.digests.valid = self.report.digests.valid.saturating_sub(1);
            self.report.digests.invalid += 1;
            let why = "not the digest that stood here when its successor was signed";
            say(&mut self.report, Weight::Finding, "chain-mismatch", place, why);
        }
        for place in &survey.unlinked {
            let why = "it does not link to the digest before it";
            say(&mut self.report, Weight::Finding, "chain-mismatch", place, why);
        }
        for place in &survey.duplicates {
            let why = "another digest covers this hour already";
            say(&mut self.report, Weight::Finding, "duplicate", place, why);
        }
        for place in &survey.restarts {
            let why = "a new chain begins here without a gap: validation was switched off and on again";
            say(&mut self.report, Weight::Note, "restarted", place, why);
        }
    }

    /// What CloudTrail says of the time after the newest digest, where that is no accusation; what it could
    /// not be asked is a note.
    fn tail(&mut self, standing: Option<Standing>) -> Option<Tail> {
        let from = self.chain.newest()?;
        let (outcome, why) = match standing? {
            Standing::Delivers | Standing::Stopped(_) => return None,
            Standing::Resumed { stopped, started } => {
                let why = "the trail was stopped and started again: CloudTrail tells both times";
                let (weight, outcome) = (Weight::Note, "gap-trail-stopped");
                return Some(Tail { from: stopped.max(from), until: started, weight, outcome, why });
            }
            Standing::Gone => (
                "gap-trail-gone",
                "there is no such trail any more, and CloudTrail does not tell since when; its DeleteTrail event does",
            ),
            Standing::NoDigests => (
                "gap-validation-off",
                "the trail writes no digests now, and CloudTrail does not tell since when; its UpdateTrail event does",
            ),
            Standing::Undelivered(why) => {
                let why =
                    format!("the last digest could not be delivered ({why}); CloudTrail goes on trying");
                self.note_standing(why);
                (
                    "gap-undelivered",
                    "CloudTrail says that it could not deliver the last digest, and goes on trying",
                )
            }
            Standing::Unknown(why) => {
                let why = format!(
                    "whether the trail was stopped could not be asked, so its hourly cadence judges: {why}"
                );
                self.note_standing(why);
                return None;
            }
        };
        Some(Tail { from, until: i64::MAX, weight: Weight::Unknown, outcome, why })
    }

    fn note_standing(&mut self, why: String) {
        let chain = self.report.chain.to_string();
        self.report.push(Problem::object(Weight::Note, "trail", "standing", chain, why));
    }

    fn report_intervals(&mut self, scope: &Scope, arrived: Option<bool>, tail: Option<&Tail>) {
        let survey = self.chain.survey(&self.report.chain, scope);
        let mut open_from = None;
        for interval in survey.intervals {
            let (from, to) = (interval.from, interval.to);
            let outcome = interval.coverage.label();
            let (weight, object, why) = match interval.coverage {
                Coverage::Covered if self.assumed.is_some() => {
                    open_from.get_or_insert(from);
                    continue;
                }
                Coverage::Covered => {
                    self.report.covered_seconds += to - from;
                    continue;
                }
                Coverage::NotStarted => (Weight::Note, None, "before the first digest of the chain"),
                Coverage::Stopped(next) => {
                    (Weight::Note, next, "no digests: the trail was stopped or validation was off")
                }
                Coverage::Pending => (Weight::Note, None, "digests may still come"),
                Coverage::Elsewhere(place) => match arrived {
                    Some(true) => (Weight::Note, Some(place), "the trail came from another bucket or folder"),
                    Some(false) => {
                        (Weight::Note, Some(place), "the digest before, in another place, is not there")
                    }
                    None => (Weight::Unknown, Some(place), "the chain goes on in another bucket or folder"),
                },
                Coverage::Unproven(place) => {
                    (Weight::Note, Some(place), "not vouched for: the digest here proves nothing")
                }
                Coverage::Missing(place) if tail.is_some_and(|tail| tail.excuses(from, to)) => {
                    let Some(tail) = tail else { continue };
                    let object = format!("s3://{place}");
                    let problem = Problem::object(tail.weight, "interval", tail.outcome, object, tail.why);
                    self.report.push(problem.during(from, to));
                    if tail.weight == Weight::Unknown {
                        self.report.digests.unknown += 1;
                        open_from.get_or_insert(from);
                    }
                    continue;
                }
                Coverage::Missing(place) => {
                    self.report.digests.invalid += 1;
                    (Weight::Finding, Some(place), "the digest of this hour is missing")
                }
            };
            let explained = outcome == "other-bucket" && arrived == Some(true);
            if !explained && !matches!(outcome, "not-started" | "gap-trail-stopped") {
                open_from.get_or_insert(from);
            }
            let object = object.map_or(String::new(), |place| format!("s3://{place}"));
            let mut problem = Problem::object(weight, "interval", outcome, object, why).during(from, to);
            problem.object = problem.object.filter(|object| !object.is_empty());
            self.report.push(problem);
        }
        let until = open_from.unwrap_or(scope.until);
        self.report.validated_until = (until > scope.from).then(|| time(until));
    }
}

fn describe(failure: &ReadFailure) -> (&'static str, String) {
    match failure {
        ReadFailure::Missing => ("missing", "there is no such object".to_owned()),
        ReadFailure::Denied => ("access-denied", "access denied".to_owned()),
        ReadFailure::Archived => {
            ("archived-needs-restore", "in a cold storage class; restore it first".to_owned())
        }
        ReadFailure::Other(why) => ("unreadable", why.clone()),
    }
}
