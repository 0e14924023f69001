//! Public keys from CloudTrail.
//!
//! In: the identities that may ask, in order. Out: the answer of the first that may. Keys belong to a region
//! and not to an account (CloudTrail User Guide, "CloudTrail digest file structure": one private key per
//! region), so one answer serves all accounts. Retries follow the one policy. Failure: what each identity was
//! told.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use trailhaul_core::verify::PublicKey;

use super::{KeySource, KeySourceError};
use crate::aws::{Aws, Caller, CloudTrail, Identity, RoleError};
use crate::config::Config;
use crate::runtime::RetryPolicy;
use crate::store::S3Options;

/// The most identities that are asked about one region: the first that may ask is enough.
const MAX_CALLERS: usize = 16;

/// CloudTrail as a source of public keys.
#[derive(Debug)]
pub struct AskCloudTrail {
    callers: Vec<CloudTrail>,
    retry: RetryPolicy,
    cancel: CancellationToken,
}

impl AskCloudTrail {
    /// Asks as these identities, one after the other until one is answered. At most 16 are kept.
    pub fn new(callers: Vec<CloudTrail>, retry: RetryPolicy, cancel: CancellationToken) -> Self {
        let mut callers = callers;
        callers.truncate(MAX_CALLERS);
        Self { callers, retry, cancel }
    }

    /// Asks as the roles that read the trails' buckets, then with the agent's own credentials.
    ///
    /// # Errors
    /// A role that breaks a limit of STS.
    pub fn of_config(
        aws: &Aws,
        config: &Config,
        retry: RetryPolicy,
        cancel: CancellationToken,
    ) -> Result<Self, RoleError> {
        let mut identities: Vec<Identity> = Vec::new();
        for trail in config.trails.listed() {
            let Some(options) = S3Options::of_trail(aws, trail)? else { continue };
            let known = |known: &Identity| known.caller() == options.identity.caller();
            if !identities.iter().any(known) && identities.len() + 1 < MAX_CALLERS {
                identities.push(options.identity);
            }
        }
        if !identities.iter().any(|identity| *identity.caller() == Caller::Base) {
            identities.push(aws.base());
        }
        let callers = identities.into_iter().map(|identity| CloudTrail::new(aws, identity)).collect();
        Ok(Self::new(callers, retry, cancel))
    }
}

#[async_trait]
impl KeySource for AskCloudTrail {
    async fn public_keys(
        &self,
        region: &str,
        from: i64,
        until: i64,
    ) -> Result<Vec<PublicKey>, KeySourceError> {
        let mut refusals = Vec::new();
        for caller in &self.callers {
            match self.retry.run(&self.cancel, || caller.public_keys(region, from, until)).await {
                Ok(keys) => return Ok(keys),
                Err(gave_up) => refusals.push(gave_up.error.to_string()),
            }
        }
        let why = if refusals.is_empty() { "nobody may be asked".to_owned() } else { refusals.join("; ") };
        Err(KeySourceError { region: region.to_owned(), why })
    }
}
