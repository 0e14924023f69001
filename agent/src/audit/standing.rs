//! Whether a trail still delivers: asked where the newest digests of a chain are not there.
//!
//! In: a chain. Out: what CloudTrail says of its trail, by the account that should know: of an organization's
//! trail any account of the organization, of an account's own trail that account. A trail that was stopped or
//! deleted is not accused of digests that it never wrote; where nobody may ask, the hourly cadence alone
//! judges, and the report says so. Answers are kept: one per caller and region, one per trail. Failure is an
//! answer of its own ([`Standing::Unknown`]).

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use trailhaul_core::verify::ChainId;

use crate::aws::{Aws, Caller, CloudTrail, Role, TrailDescription, TrailStatus};
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

/// The trails that a caller sees in a region, or why it was not told.
type TrailAnswer = Result<Vec<TrailDescription>, String>;

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
    /// Bounded by callers times home regions.
    trails: Mutex<HashMap<(Caller, String), TrailAnswer>>,
    /// Bounded by the trails seen.
    statuses: Mutex<HashMap<String, Result<TrailStatus, String>>>,
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
            trails: Mutex::default(),
            statuses: Mutex::default(),
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
        if let Some(answer) = kept.get(&key) {
            return answer.clone();
        }
        let answer = self.retry.run(&self.cancel, || caller.trails(region)).await;
        let answer = answer.map_err(|gave_up| gave_up.error.to_string());
        kept.insert(key, answer.clone());
        answer
    }

    async fn status(&self, caller: &CloudTrail, trail: &TrailDescription) -> Result<TrailStatus, String> {
        let mut kept = self.statuses.lock().await;
        if let Some(answer) = kept.get(&trail.arn) {
            return answer.clone();
        }
        let asked = self.retry.run(&self.cancel, || caller.status(&trail.home_region, &trail.arn)).await;
        let answer = asked.map_err(|gave_up| gave_up.error.to_string());
        // Another account may be allowed what this one is not.
        if answer.is_ok() {
            kept.insert(trail.arn.clone(), answer.clone());
        }
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
    }
}
