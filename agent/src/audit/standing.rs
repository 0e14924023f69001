//! Whether a trail still delivers: asked where the newest digests of a chain are not there.
//!
//! In: a chain. Out: what CloudTrail says of its trail, by the account that should know: of an organization's
//! trail any account of the organization, of an account's own trail that account. A trail that was stopped or
//! deleted is not accused of digests that it never wrote; where nobody may ask, the hourly cadence alone
//! judges, and the report says so. Answers are kept, those that fail too: one per caller and region, one per caller
//! and trail; a command keeps them for its life, a process that goes on asks again ([`AskTrails::asking_again`]).
//! Failure is an answer of its own ([`Standing::Unknown`]). Bounded: [`MOST`] answers of each kind, then anew, and
//! [`TIME`] for each.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trailhaul_core::verify::ChainId;

use crate::aws::{Aws, Caller, CloudTrail, Failure, Role, TrailDescription, TrailStatus};
use crate::config::{self, Config, RoleTarget};
use crate::runtime::RetryPolicy;
use crate::store::S3Options;

/// What is known of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It delivers, with digests: whatever is missing is missing.
    Delivers,
    /// It delivers, but its last digest could not be delivered; CloudTrail goes on trying.
    Undelivered(String),
    /// It was stopped at this time, in seconds since the Unix epoch.
    Stopped(i64),
    /// It was stopped at one time and started again at another, in seconds since the Unix epoch.
    Resumed {
        /// When it was stopped last.
        stopped: i64,
        /// When it was started last.
        started: i64,
    },
    /// It delivers, and writes no digests any more; since when is not told.
    NoDigests,
    /// There is no such trail any more; since when is not told.
    Gone,
    /// Nobody could say, with the reasons.
    Unknown(String),
}

/// Somebody who may know whether trails deliver.
#[async_trait]
pub trait TrailOracle: Send + Sync + fmt::Debug {
    /// What is known of the trail that writes this chain.
    async fn standing(&self, chain: &ChainId) -> Standing;
}

/// Answers of one kind that are kept: some kilobytes each where a caller sees many trails.
const MOST: usize = 1_000;

/// The longest that an answer may take, with everything that is tried again.
const TIME: Duration = Duration::from_secs(150);

/// The trails that a caller sees in a region, or why it was not told.
type TrailAnswer = Result<Vec<TrailDescription>, String>;
/// The status of a trail as a caller sees it, or why it was not told.
type StatusAnswer = Result<TrailStatus, String>;
/// A caller, and the region or the trail that it asks about.
type Question = (Caller, String);

/// Answers, for as long as they count.
#[derive(Debug)]
struct Kept<K, V>(HashMap<K, (Instant, V)>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn get(&self, key: &K, age: Duration) -> Option<V> {
        self.0.get(key).filter(|(at, _)| at.elapsed() < age).map(|(_, value)| value.clone())
    }

    fn keep(&mut self, key: K, value: V) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(key, (Instant::now(), value));
    }
}

/// CloudTrail, asked with the roles of the configuration.
#[derive(Debug)]
pub struct AskTrails {
    aws: Aws,
    /// For each bucket's name who reads it.
    readers: HashMap<String, CloudTrail>,
    /// The organization's role, where it has one name in every account.
    role: Option<config::Role>,
    retry: RetryPolicy,
    cancel: CancellationToken,
    /// For how long an answer counts.
    age: Duration,
    time: Duration,
    trails: Mutex<Kept<Question, TrailAnswer>>,
    statuses: Mutex<Kept<Question, StatusAnswer>>,
}

impl AskTrails {
    /// Asks as the roles that read the trails' buckets, and as the organization's role in the chain's account.
    pub fn of_config(aws: &Aws, config: &Config, retry: RetryPolicy, cancel: CancellationToken) -> Self {
        let mut readers = HashMap::new();
        for trail in config.trails.listed() {
            // A role that cannot be assumed as it is configured is said when the bucket is opened.
            if let Ok(Some(options)) = S3Options::of_trail(aws, trail) {
                readers.insert(options.bucket, CloudTrail::new(aws, options.identity));
            }
        }
        let role = config.organization.role.clone();
        let role = role.filter(|role| matches!(role.target, RoleTarget::Name(_)));
        Self {
            aws: aws.clone(),
            readers,
            role,
            retry,
            cancel,
            age: Duration::MAX,
            time: TIME,
            trails: Mutex::default(),
            statuses: Mutex::default(),
        }
    }

    /// The same for a process that goes on: an answer counts for `age`, and may take `time` at most.
    #[must_use]
    pub fn asking_again(self, age: Duration, time: Duration) -> Self {
        Self { age, time, ..self }
    }

    /// An answer, or why there is none within the time for it.
    async fn ask<T, F>(&self, call: impl FnMut() -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        match tokio::time::timeout(self.time, self.retry.run(&self.cancel, call)).await {
            Ok(answer) => answer.map_err(|gave_up| gave_up.error.to_string()),
            Err(_) => Err(format!("CloudTrail did not answer within {} s", self.time.as_secs())),
        }
    }

    /// Who may know, the likelier first: one account answers for a whole organization's trail.
    fn callers(&self, chain: &ChainId) -> Vec<CloudTrail> {
        let reader = self.readers.get(&chain.bucket).cloned();
        let own = self.role.as_ref().and_then(|role| {
            let role = Role::new(role, chain.account, &chain.home_region).ok()?;
            Some(CloudTrail::new(&self.aws, self.aws.assume(&[role])))
        });
        let mut callers: Vec<CloudTrail> = match chain.organization {
            Some(_) => reader.into_iter().chain(own).collect(),
            None => own.into_iter().chain(reader).collect(),
        };
        callers.dedup_by(|a, b| a.caller() == b.caller());
        callers
    }

    async fn trails(&self, caller: &CloudTrail, region: &str) -> TrailAnswer {
        let key = (caller.caller().clone(), region.to_owned());
        // Held while asking: many chains of one trail ask at the same time, and one answer does for all.
        let mut kept = self.trails.lock().await;
        if let Some(answer) = kept.get(&key, self.age) {
            return answer;
        }
        let answer = self.ask(|| caller.trails(region)).await;
        kept.keep(key, answer.clone());
        answer
    }

    async fn status(&self, caller: &CloudTrail, trail: &TrailDescription) -> StatusAnswer {
        // Another account may be allowed what this one is not.
        let key = (caller.caller().clone(), trail.arn.clone());
        let mut kept = self.statuses.lock().await;
        if let Some(answer) = kept.get(&key, self.age) {
            return answer;
        }
        let answer = self.ask(|| caller.status(&trail.home_region, &trail.arn)).await;
        kept.keep(key, answer.clone());
        answer
    }
}

#[async_trait]
impl TrailOracle for AskTrails {
    async fn standing(&self, chain: &ChainId) -> Standing {
        let mut refusals = Vec::new();
        for caller in self.callers(chain) {
            let trails = match self.trails(&caller, &chain.home_region).await {
                Ok(trails) => trails,
                Err(why) => {
                    refusals.push(why);
                    continue;
                }
            };
            let Some(trail) = trails.iter().find(|trail| writes(trail, chain)) else {
                if chain.organization.is_some() || caller.caller().account() == Some(chain.account) {
                    return Standing::Gone;
                }
                refusals.push(format!("{} does not see the trail", caller.caller()));
                continue;
            };
            match self.status(&caller, trail).await {
                Ok(status) => return judge(trail, status),
                Err(why) => refusals.push(why),
            }
        }
        if refusals.is_empty() {
            refusals.push("no role reaches its account".to_owned());
        }
        Standing::Unknown(refusals.join("; "))
    }
}

/// Whether this is the trail that writes the chain.
fn writes(trail: &TrailDescription, chain: &ChainId) -> bool {
    trail.name == chain.trail
        && trail.home_region == chain.home_region
        && trail.bucket == chain.bucket
        && trail.prefix == chain.prefix
}

fn judge(trail: &TrailDescription, status: TrailStatus) -> Standing {
    match status {
        TrailStatus { logging: false, stopped: Some(at), .. } => Standing::Stopped(at),
        TrailStatus { logging: false, stopped: None, .. } => Standing::Unknown(
            "the trail does not deliver, and CloudTrail does not tell since when".to_owned(),
        ),
        _ if !trail.validates => Standing::NoDigests,
        TrailStatus { digest_error: Some(why), .. } => Standing::Undelivered(why),
        TrailStatus { stopped: Some(stopped), started: Some(started), .. } if stopped <= started => {
            Standing::Resumed { stopped, started }
        }
        _ => Standing::Delivers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(validates: bool) -> TrailDescription {
        TrailDescription {
            arn: "arn:aws:cloudtrail:us-east-1:111122223333:trail/org".to_owned(),
            name: "org".to_owned(),
            home_region: "us-east-1".to_owned(),
            bucket: "logs".to_owned(),
            prefix: String::new(),
            of_organization: true,
            validates,
        }
    }

    #[test]
    fn a_status_is_judged_by_what_explains_most() {
        let status = |logging, stopped, error: Option<&str>| TrailStatus {
            logging,
            stopped,
            started: None,
            digest_error: error.map(str::to_owned),
        };
        assert_eq!(judge(&trail(true), status(true, Some(5), None)), Standing::Delivers);
        assert_eq!(judge(&trail(true), status(false, Some(5), Some("x"))), Standing::Stopped(5));
        assert_eq!(judge(&trail(false), status(false, Some(5), None)), Standing::Stopped(5));
        assert_eq!(judge(&trail(false), status(true, None, Some("x"))), Standing::NoDigests);
        let undelivered = Standing::Undelivered("AccessDenied".to_owned());
        assert_eq!(judge(&trail(true), status(true, None, Some("AccessDenied"))), undelivered);
        assert!(matches!(judge(&trail(true), status(false, None, None)), Standing::Unknown(_)));
        let resumed = TrailStatus { started: Some(9), ..status(true, Some(5), None) };
        assert_eq!(judge(&trail(true), resumed), Standing::Resumed { stopped: 5, started: 9 });
        let both = TrailStatus { started: Some(9), ..status(true, Some(5), Some("AccessDenied")) };
        assert_eq!(judge(&trail(true), both), undelivered, "a stop of long ago explains nothing");
        let stopped = TrailStatus { started: Some(3), ..status(false, Some(5), None) };
        assert_eq!(judge(&trail(true), stopped), Standing::Stopped(5));
        let first = TrailStatus { started: Some(3), ..status(true, None, None) };
        assert_eq!(judge(&trail(true), first), Standing::Delivers);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_count_for_a_while_and_are_bounded() {
        let age = Duration::from_secs(900);
        let mut kept = Kept::default();
        kept.keep("a", 1);
        tokio::time::advance(Duration::from_secs(899)).await;
        assert_eq!((kept.get(&"a", age), kept.get(&"b", age)), (Some(1), None));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((kept.get(&"a", age), kept.get(&"a", Duration::MAX)), (None, Some(1)));
        let mut kept = Kept::default();
        for number in 0..3 * MOST {
            kept.keep(number, ());
            assert!(kept.0.len() <= MOST);
        }
    }
}
