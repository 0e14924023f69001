//! CloudTrail's own API, as one identity sees it: public keys, trails, and whether they deliver.
//!
//! In: an identity and a region. Out: plain types of ours, times in seconds since the Unix epoch. Asks only;
//! changes nothing. Invariants: one request at a time per call; an answer that goes on is followed for at most
//! [`MAX_PAGES`] pages, and one that still goes on then is an error, never a short list. Failure: a
//! [`Failure`] that names the permission that is missing; retries are the caller's.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{self, Trail};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use trailhaul_core::verify::PublicKey;

use super::clients::Aws;
use super::error::{ErrorClass, Failure, classify};
use super::identity::{Caller, Identity};

/// The most pages of one answer. `ListPublicKeys` calls its token "reserved for future use"; some keys a
/// month come to one page of a few.
const MAX_PAGES: usize = 100;

/// CloudTrail, called by one identity. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CloudTrail {
    aws: Aws,
    identity: Identity,
}

/// A trail as `DescribeTrails` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailDescription {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Where it was made, and where its status is to be asked for.
    pub home_region: String,
    /// The bucket that it writes to.
    pub bucket: String,
    /// What stands before `AWSLogs`, without a slash at its end; empty for none.
    pub prefix: String,
    /// Whether it is the organization's, and not one account's own.
    pub of_organization: bool,
    /// Whether it writes digests.
    pub validates: bool,
}

/// Whether a trail delivers (`GetTrailStatus`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailStatus {
    /// Whether it delivers now.
    pub logging: bool,
    /// When it was stopped last.
    pub stopped: Option<i64>,
    /// When it was started last.
    pub started: Option<i64>,
    /// Why its last digest could not be delivered.
    pub digest_error: Option<String>,
}

impl CloudTrail {
    /// CloudTrail as this identity sees it. Asks nothing yet.
    pub fn new(aws: &Aws, identity: Identity) -> Self {
        Self { aws: aws.clone(), identity }
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        self.identity.caller()
    }

    /// The public keys of a region whose validity touches `from..=until`.
    ///
    /// # Errors
    /// The failed call; an answer without an end.
    pub async fn public_keys(&self, region: &str, from: i64, until: i64) -> Result<Vec<PublicKey>, Failure> {
        let client = self.client(region);
        let (mut keys, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let call = || {
                client
                    .list_public_keys()
                    .start_time(DateTime::from_secs(from))
                    .end_time(DateTime::from_secs(until))
                    .set_next_token(token.clone())
                    .send()
            };
            let page = self.call("cloudtrail:ListPublicKeys", region, call).await?;
            for key in page.public_key_list() {
                let key = public_key(key).ok_or_else(|| {
                    Failure::new(ErrorClass::Other, "ListPublicKeys answered with a key that lacks a part")
                })?;
                keys.push(key);
            }
            token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(keys);
            }
        }
        Err(Failure::new(ErrorClass::Other, format!("ListPublicKeys in {region} does not end")))
    }

    /// The trails that this identity's account sees in a region: its own, and those of its organization.
    ///
    /// # Errors
    /// The failed call.
    pub async fn trails(&self, region: &str) -> Result<Vec<TrailDescription>, Failure> {
        let client = self.client(region);
        let call = || client.describe_trails().include_shadow_trails(true).send();
        let answer = self.call("cloudtrail:DescribeTrails", region, call).await?;
        Ok(answer.trail_list().iter().filter_map(description).collect())
    }

    /// Whether a trail delivers; `region` is its home region.
    ///
    /// # Errors
    /// The failed call.
    pub async fn status(&self, region: &str, arn: &str) -> Result<TrailStatus, Failure> {
        let client = self.client(region);
        let call = || client.get_trail_status().name(arn).send();
        let answer = self.call("cloudtrail:GetTrailStatus", region, call).await?;
        Ok(TrailStatus {
            logging: answer.is_logging().unwrap_or(false),
            stopped: answer.stop_logging_time().map(DateTime::secs),
            started: answer.start_logging_time().map(DateTime::secs),
            digest_error: answer.latest_digest_delivery_error().filter(|e| !e.is_empty()).map(str::to_owned),
        })
    }

    fn client(&self, region: &str) -> Client {
        Client::new(&self.aws.sdk_config(&self.identity, Some(region)))
    }

    /// Makes a call, repeated once where its refusal could be put right.
    async fn call<T, E, F>(&self, needs: &str, region: &str, send: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let first = match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => classify(&error),
        };
        let failure = if self.aws.put_right(&self.identity, &first) {
            match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => classify(&error),
            }
        } else {
            first
        };
        let caller = self.caller();
        Err(failure.with_hint(&format!("called by {caller}, which needs {needs} in {region}")))
    }
}

/// `None` for a key that lacks fingerprint, value or validity.
fn public_key(key: &types::PublicKey) -> Option<PublicKey> {
    let (from, until) = (key.validity_start_time()?.secs(), key.validity_end_time()?.secs());
    Some(PublicKey::new(key.fingerprint()?, key.value()?.as_ref().to_vec(), from, until))
}

/// `None` for a trail that lacks what makes it one.
fn description(trail: &Trail) -> Option<TrailDescription> {
    Some(TrailDescription {
        arn: trail.trail_arn()?.to_owned(),
        name: trail.name()?.to_owned(),
        home_region: trail.home_region()?.to_owned(),
        bucket: trail.s3_bucket_name()?.to_owned(),
        prefix: trail.s3_key_prefix().unwrap_or_default().trim_end_matches('/').to_owned(),
        of_organization: trail.is_organization_trail().unwrap_or(false),
        validates: trail.log_file_validation_enabled().unwrap_or(false),
    })
}
