//! Where credentials come from: the environment, and roles assumed through STS.
//!
//! In: an identity that may assume a role, and the role. Out: credentials of at most an hour. One request
//! per fetch; the pauses between failures are kept by `credentials::Renewed`. Failures name the role, the
//! caller and what is missing; the external id is never part of one.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::Client;

use super::credentials::Source;
use super::error::{ErrorClass, Failure, classify};
use super::identity::{Caller, Identity};
use super::role::{MAX_CHAINED, Role};
use super::time::AwsTime;

/// The longest that the environment's credential source may take: metadata services and credential
/// processes have their own time-outs below this.
const BASE_TIMEOUT: Duration = Duration::from_secs(60);

/// The default chain of the SDK: environment, profile, web identity, container, instance.
pub(super) struct BaseSource(pub(super) SharedCredentialsProvider);

#[async_trait]
impl Source for BaseSource {
    async fn fetch(&self) -> Result<Credentials, Failure> {
        let fetched = tokio::time::timeout(BASE_TIMEOUT, self.0.provide_credentials()).await;
        match fetched {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => Err(base_failure(&error)),
            Err(_) => Err(Failure::unavailable("the source of the agent's own credentials timed out")),
        }
    }
}

impl fmt::Debug for BaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BaseSource")
    }
}

fn base_failure(error: &aws_credential_types::provider::error::CredentialsError) -> Failure {
    use aws_credential_types::provider::error::CredentialsError as E;
    // The causes are left out: a profile file's parser may quote the line that it could not read.
    let message = match error {
        E::CredentialsNotLoaded(_) => {
            "no AWS credentials found; give the agent a role (instance, container or web identity), or set \
             AWS_PROFILE or AWS_ACCESS_KEY_ID"
        }
        E::InvalidConfiguration(_) => "the AWS credentials or profile of the agent are malformed",
        E::ProviderTimedOut(_) => {
            return Failure::unavailable("the source of the agent's own credentials timed out");
        }
        _ => "the source of the agent's own AWS credentials failed",
    };
    Failure::new(ErrorClass::NoCredentials, message)
}

/// AssumeRole.
pub(super) struct RoleSource {
    pub(super) client: Client,
    pub(super) from: Identity,
    pub(super) role: Role,
    pub(super) time: AwsTime,
}

#[async_trait]
impl Source for RoleSource {
    async fn fetch(&self) -> Result<Credentials, Failure> {
        // A role that is assumed from a role gets an hour at most. Whether the base is one only STS knows.
        let chained = matches!(self.from.caller(), Caller::Role(_));
        let duration = if chained { self.role.duration.min(MAX_CHAINED) } else { self.role.duration };
        match self.assume(duration).await {
            Err(failure) if failure.class() == ErrorClass::Invalid && duration > MAX_CHAINED => {
                self.assume(MAX_CHAINED).await
            }
            Err(failure) if self.mended(&failure) => self.assume(duration).await,
            done => done,
        }
        .map_err(|failure| self.explain(failure))
    }
}

impl RoleSource {
    async fn assume(&self, duration: Duration) -> Result<Credentials, Failure> {
        let role = &self.role;
        let duration = i32::try_from(duration.as_secs()).unwrap_or(3_600);
        let answer = self
            .client
            .assume_role()
            .role_arn(role.arn.to_string())
            .role_session_name(&role.session)
            .set_external_id(role.external_id.as_ref().map(|id| id.expose().to_owned()))
            .duration_seconds(duration)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        let got =
            answer.credentials().ok_or_else(|| Failure::unavailable("STS answered without credentials"))?;
        let expiry = SystemTime::try_from(*got.expiration())
            .map_err(|_| Failure::unavailable("STS answered with an impossible expiry"))?;
        Ok(Credentials::new(
            got.access_key_id(),
            got.secret_access_key(),
            Some(got.session_token().to_owned()),
            Some(expiry),
            "AssumeRole",
        ))
    }

    /// Whether something was put right that makes a second attempt worthwhile.
    fn mended(&self, failure: &Failure) -> bool {
        match failure.class() {
            ErrorClass::Expired => self.from.expire(),
            // STS answers a skewed clock with a code of signatures; the dates tell.
            ErrorClass::Skewed | ErrorClass::Denied => self.time.learn_if_far(failure),
            _ => false,
        }
    }

    fn explain(&self, failure: Failure) -> Failure {
        let (from, to) = (self.from.caller(), &self.role.arn);
        let hint = match failure.class() {
            ErrorClass::Denied if self.role.external_id.is_some() => format!(
                "sts:AssumeRole of {to} by {from}: check that the role exists, that its trust policy names the \
                 caller and the configured external id, and that the caller's own policy allows sts:AssumeRole"
            ),
            ErrorClass::Denied => format!(
                "sts:AssumeRole of {to} by {from}: check that the role exists, that its trust policy names the \
                 caller (without an external id, for none is configured), and that the caller's own policy \
                 allows sts:AssumeRole"
            ),
            ErrorClass::Invalid => {
                format!(
                    "sts:AssumeRole of {to} by {from}: the role's own maximum session duration counts too"
                )
            }
            _ => format!("sts:AssumeRole of {to} by {from}"),
        };
        failure.with_hint(&hint)
    }
}

impl fmt::Debug for RoleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoleSource({})", self.role.arn)
    }
}
