//! The hours after a chain's newest digest: CloudTrail is asked whether the trail still wrote digests then, before
//! anybody is accused of them.
//!
//! In: what is certainly not there. Out: what somebody is accused of. A trail that was stopped, deleted, or that writes
//! no digests any more is accused of nothing after its newest one; nor is one whose last digest CloudTrail could not
//! deliver. Where nobody may ask, or nobody answers, the hourly cadence judges; so it does in folders, of which
//! CloudTrail knows nothing. Failure: an answer that is not there is told in the log, once. Bounded: asked only about
//! hours that nobody has been accused of yet; who is asked keeps its answers ([`AGAIN`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use trailhaul_core::verify::{ChainId, Problem, ProblemKind};

use super::super::source::Outlook;
use super::super::standing::{Standing, TrailOracle};
use super::{Ground, Shared, Told};

/// For how long an answer counts, and when a chain that is excused is looked at again.
pub const AGAIN: Duration = Duration::from_secs(15 * 60);

/// What remains of a chain's problems.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Weighed {
    /// What somebody is accused of, and notes.
    pub(super) problems: Vec<Problem>,
    /// Whether hours are missing of which nobody is accused.
    pub(super) excused: bool,
    /// Whether that is because CloudTrail could not deliver their digests.
    pub(super) undelivered: bool,
}

/// Weighs what is not there of a chain. `newest`: where its newest proven digest ends.
pub(super) async fn weigh(
    shared: &Arc<Shared>,
    ground: &Ground,
    id: &ChainId,
    newest: Option<i64>,
    problems: Vec<Problem>,
) -> Weighed {
    let oracle = shared.means.oracle.as_deref().filter(|_| ground.outlook == Outlook::Live);
    let (Some(oracle), Some(newest)) = (oracle, newest) else {
        return Weighed { problems, ..Weighed::default() };
    };
    let weighed = ask((oracle, &shared.told), (&ground.bucket, id), newest, problems).await;
    if weighed.undelivered && shared.told.first(&("undelivered", id)) {
        shared.undelivered.fetch_add(1, Ordering::Relaxed);
    }
    weighed
}

async fn ask(
    (oracle, told): (&dyn TrailOracle, &Told),
    (bucket, id): (&str, &ChainId),
    newest: i64,
    mut problems: Vec<Problem>,
) -> Weighed {
    let is_silent = |problem: &Problem| problem.kind == ProblemKind::Missing && problem.from >= newest;
    let is_news = |problem: &Problem| !told.was(&("chain", problem.kind, id, &problem.place.key));
    if !problems.iter().any(|problem| is_silent(problem) && is_news(problem)) {
        return Weighed { problems, ..Weighed::default() };
    }
    // CloudTrail knows the bucket by its name.
    let standing = oracle.standing(&ChainId { bucket: bucket.to_owned(), ..id.clone() }).await;
    let before = problems.len();
    problems.retain(|problem| !is_silent(problem) || !excuses(&standing, problem));
    let excused = problems.len() < before;
    if excused || matches!(standing, Standing::Unknown(_)) {
        tell(told, id, &standing);
    }
    Weighed { problems, excused, undelivered: excused && matches!(standing, Standing::Undelivered(_)) }
}

/// Whether nobody is accused of an hour after the newest digest.
fn excuses(standing: &Standing, problem: &Problem) -> bool {
    match standing {
        Standing::Stopped(at) => problem.to > *at,
        Standing::Resumed { stopped, started } => problem.to > *stopped && problem.from < *started,
        Standing::Gone | Standing::NoDigests | Standing::Undelivered(_) => true,
        Standing::Delivers | Standing::Unknown(_) => false,
    }
}

/// A note in the log, once for each trail and answer.
fn tell(told: &Told, id: &ChainId, standing: &Standing) {
    let owner = if id.organization.is_some() { String::new() } else { id.account.to_string() };
    let (answer, why) = match standing {
        Standing::Delivers => return,
        Standing::Stopped(at) => (format!("stopped at {}", time(*at)), ""),
        Standing::Resumed { stopped, started } => {
            (format!("stopped at {}, started again at {}", time(*stopped), time(*started)), "")
        }
        Standing::NoDigests => ("it writes no digests any more".to_owned(), ""),
        Standing::Gone => ("there is no such trail any more".to_owned(), ""),
        Standing::Undelivered(why) => ("the last digest could not be delivered".to_owned(), why.as_str()),
        Standing::Unknown(why) => ("unknown".to_owned(), why.as_str()),
    };
    if !told.first(&("standing", &owner, &id.home_region, &id.trail, &answer)) {
        return;
    }
    let (trail, region) = (&id.trail, &id.home_region);
    if matches!(standing, Standing::Unknown(_)) {
        tracing::warn!(trail, region, chain = %id, why, "cannot ask whether a silent trail was stopped: its hourly cadence judges");
    } else {
        tracing::warn!(trail, region, chain = %id, answer, why, "no digests come any more, and nobody is accused of that");
    }
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use trailhaul_core::verify::{ChainKind, Place};

    use super::*;

    const HOUR: i64 = 3_600;
    const NEWEST: i64 = 1_800_000_000;

    /// Says what it is told to, and remembers who was asked about.
    #[derive(Debug)]
    struct Scripted {
        standing: Mutex<Standing>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl TrailOracle for Scripted {
        async fn standing(&self, chain: &ChainId) -> Standing {
            self.asked.lock().unwrap().push(chain.bucket.clone());
            self.standing.lock().unwrap().clone()
        }
    }

    fn chain() -> ChainId {
        ChainId {
            bucket: "s3://logs".to_owned(),
            prefix: String::new(),
            organization: None,
            account: "111122223333".parse().unwrap(),
            region: "eu-central-1".to_owned(),
            trail: "own".to_owned(),
            home_region: "eu-central-1".to_owned(),
            kind: ChainKind::Normal,
        }
    }

    fn problem(kind: ProblemKind, hour: i64) -> Problem {
        let (from, to) = (NEWEST + (hour - 1) * HOUR, NEWEST + hour * HOUR);
        let place = Place { bucket: "logs".to_owned(), key: chain().key_at(to) };
        Problem { kind, place, from, to, text: String::new() }
    }

    /// Two hours before the newest digest, four after it, and a note.
    fn problems() -> Vec<Problem> {
        let missing = [-5, -4, 1, 2, 3, 4].map(|hour| problem(ProblemKind::Missing, hour));
        missing.into_iter().chain([problem(ProblemKind::Restarted, 0)]).collect()
    }

    /// The hours that somebody is accused of, and whether others are excused.
    async fn accused(standing: Standing) -> (Vec<i64>, bool) {
        let oracle = Scripted { standing: Mutex::new(standing), asked: Mutex::default() };
        let told = Told::default();
        let weighed = ask((&oracle, &told), ("logs", &chain()), NEWEST, problems()).await;
        assert_eq!(*oracle.asked.lock().unwrap(), ["logs"], "asked once, by the bucket's name");
        assert!(weighed.problems.iter().any(|problem| problem.kind == ProblemKind::Restarted));
        let missing = weighed.problems.iter().filter(|problem| problem.kind == ProblemKind::Missing);
        (missing.map(|problem| (problem.to - NEWEST) / HOUR).collect(), weighed.excused)
    }

    #[tokio::test]
    async fn what_cloudtrail_says_decides_who_is_accused() {
        let all = vec![-5, -4, 1, 2, 3, 4];
        let before = vec![-5, -4];
        assert_eq!(accused(Standing::Delivers).await, (all.clone(), false));
        assert_eq!(accused(Standing::Unknown("denied".into())).await, (all.clone(), false));
        for excused in [Standing::Gone, Standing::NoDigests, Standing::Undelivered("AccessDenied".into())] {
            assert_eq!(accused(excused).await, (before.clone(), true));
        }
        // Stopped with its newest digest, within the third hour after it, and after all that is missing.
        assert_eq!(accused(Standing::Stopped(NEWEST)).await, (before.clone(), true));
        let third = NEWEST + 2 * HOUR + 600;
        assert_eq!(accused(Standing::Stopped(third)).await, (vec![-5, -4, 1, 2], true));
        assert_eq!(accused(Standing::Stopped(NEWEST + 5 * HOUR)).await, (all.clone(), false));
        // Started again: the hours between are excused, not those after.
        let resumed = |stopped, started| Standing::Resumed { stopped, started };
        assert_eq!(accused(resumed(NEWEST, third)).await, (vec![-5, -4, 4], true));
        assert_eq!(accused(resumed(NEWEST - 9 * HOUR, NEWEST - HOUR)).await, (all, false));
    }

    #[tokio::test]
    async fn only_news_about_silence_is_asked_for() {
        let oracle = Scripted { standing: Mutex::new(Standing::Delivers), asked: Mutex::default() };
        let (told, id) = (Told::default(), chain());
        let ask = async |problems| ask((&oracle, &told), ("logs", &id), NEWEST, problems).await;
        let holes = vec![problem(ProblemKind::Missing, -3), problem(ProblemKind::Unproven, 2)];
        assert_eq!(ask(holes.clone()).await.problems, holes);
        assert!(oracle.asked.lock().unwrap().is_empty(), "a hole between digests is nobody's stop");
        for problem in problems() {
            told.first(&("chain", problem.kind, &id, &problem.place.key));
        }
        assert_eq!(ask(problems()).await.problems.len(), problems().len());
        assert!(oracle.asked.lock().unwrap().is_empty(), "everything was told before");
        let mut more = problems();
        more.push(problem(ProblemKind::Missing, 5));
        assert_eq!(ask(more.clone()).await.problems.len(), more.len());
        assert_eq!(oracle.asked.lock().unwrap().len(), 1);
        // It was stopped meanwhile: what was told stays told, and nothing is added.
        *oracle.standing.lock().unwrap() = Standing::Stopped(NEWEST + 4 * HOUR);
        let weighed = ask(more).await;
        assert!(weighed.excused && weighed.problems.iter().all(|problem| problem.to <= NEWEST + 4 * HOUR));
    }
}
