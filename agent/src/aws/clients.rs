//! The connection to AWS: one HTTP client, and SDK configurations per identity and region.
//!
//! In: settings and a clock. Out: identities (the base, or a chain of roles assumed one from the other) and
//! for each the SDK configuration with which any service's client is built. Identities with the same chain
//! share their credentials as long as one of them is in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{
    IdentityCache, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
    retry::RetryConfig,
};

use super::credentials::Renewed;
use super::error::{ErrorClass, Failure, SetupError};
use super::http::http_client;
use super::identity::{Caller, Identity};
use super::role::Role;
use super::sts::{BaseSource, RoleSource};
use super::time::AwsTime;
use crate::config::{self, Secret};
use crate::runtime::Clock;

/// The longest that one request may take up to the head of its answer, signing and connecting included. A
/// little above the connector's own limits, so that those are the ones that are reported.
const ATTEMPT: Duration = Duration::from_secs(75);

/// An access key that does not change.
#[derive(Debug, Clone)]
pub struct StaticKeys {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
}

/// The connection to AWS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    common: SdkConfig,
    region: String,
    path_style: bool,
    time: AwsTime,
    base: Identity,
    /// The credentials of each chain of roles in use; entries that nobody uses are removed when the next
    /// chain comes, so the map is bounded by the accounts, buckets and sinks of the configuration.
    chains: Mutex<HashMap<Vec<Role>, Weak<Renewed>>>,
}

impl Aws {
    /// Sets up the connection; asks the environment and the profile for what the settings leave open.
    /// Nothing is fetched yet, so missing credentials show at the first call.
    pub async fn connect(settings: &config::Aws, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::connect_from(settings, clock, None).await
    }

    /// The same with these keys instead of those of the environment, which is not asked for any: for tests
    /// against emulators, where the key says which account calls.
    pub async fn connect_with_keys(
        settings: &config::Aws,
        clock: Arc<dyn Clock>,
        keys: &StaticKeys,
    ) -> Result<Self, SetupError> {
        let keys = Credentials::new(&keys.id, keys.secret.expose(), None, None, "StaticKeys");
        Self::connect_from(settings, clock, Some(SharedCredentialsProvider::new(keys))).await
    }

    async fn connect_from(
        settings: &config::Aws,
        clock: Arc<dyn Clock>,
        keys: Option<SharedCredentialsProvider>,
    ) -> Result<Self, SetupError> {
        let time = AwsTime::new(clock);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(settings)?)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build())
            .time_source(time.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .disable_clock_skew_correction(true);
        if let Some(keys) = keys {
            loader = loader.credentials_provider(keys);
        }
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        // Off leaves it to the environment (AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT).
        if settings.fips {
            loader = loader.use_fips(true);
        }
        if settings.dual_stack {
            loader = loader.use_dual_stack(true);
        }
        let loaded = loader.load().await;
        let region = loaded.region().ok_or(SetupError::NoRegion)?.to_string();
        let base = loaded.credentials_provider().map_or_else(no_provider, BaseSource);
        let base = Identity::new(Caller::Base, Arc::new(Renewed::new(base, time.clone())));
        Ok(Self {
            inner: Arc::new(Inner {
                common: without_sdk_habits(&loaded),
                region,
                path_style: settings.path_style,
                time,
                base,
                chains: Mutex::default(),
            }),
        })
    }

    /// The region for whatever does not name its own.
    pub fn region(&self) -> &str {
        &self.inner.region
    }

    /// The time that requests are signed with, and what is known of our clock's skew.
    pub fn time(&self) -> &AwsTime {
        &self.inner.time
    }

    /// Whether buckets go into the path of the URL.
    pub fn path_style(&self) -> bool {
        self.inner.path_style
    }

    /// The credentials that the process was started with.
    pub fn base(&self) -> Identity {
        self.inner.base.clone()
    }

    /// The identity reached by assuming these roles one from the other, starting with the base. Without
    /// roles it is the base. Nothing is fetched yet.
    pub fn assume(&self, roles: &[Role]) -> Identity {
        let mut identity = self.base();
        for (index, role) in roles.iter().enumerate() {
            let chain = roles.get(..=index).unwrap_or(roles);
            identity = self.link(chain, role, &identity);
        }
        identity
    }

    /// An SDK configuration for any service: `aws_sdk_SERVICE::config::Builder::from(&aws.sdk_config(..))`.
    /// SDK retries are off in it.
    pub fn sdk_config(&self, identity: &Identity, region: Option<&str>) -> SdkConfig {
        let region = region.unwrap_or(&self.inner.region).to_owned();
        self.inner
            .common
            .to_builder()
            .region(Region::new(region))
            .credentials_provider(identity.provider())
            .build()
    }

    /// Whether the cause of a refusal could be removed, so that the call is worth repeating at once, one time.
    /// What is put right here refuses a call before it has any effect.
    pub(crate) fn put_right(&self, identity: &Identity, failure: &Failure) -> bool {
        match failure.class() {
            ErrorClass::Expired => identity.expire(),
            // A HEAD has no body to say so: a bare 400 may be an expired token.
            ErrorClass::Invalid if failure.status() == Some(400) && failure.code().is_none() => {
                identity.expire()
            }
            // Refusals of a skewed clock come with many codes; the server's time tells.
            ErrorClass::Skewed | ErrorClass::Denied => self.inner.time.learn_if_far(failure),
            _ => false,
        }
    }

    fn link(&self, chain: &[Role], role: &Role, from: &Identity) -> Identity {
        let caller = Caller::Role(role.arn().clone());
        let mut chains = self.inner.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(credentials) = chains.get(chain).and_then(Weak::upgrade) {
            return Identity::new(caller, credentials);
        }
        chains.retain(|_, credentials| credentials.strong_count() > 0);
        let source = RoleSource {
            client: aws_sdk_sts::Client::new(&self.sdk_config(from, None)),
            from: from.clone(),
            role: role.clone(),
            time: self.inner.time.clone(),
        };
        let credentials = Arc::new(Renewed::new(source, self.inner.time.clone()));
        chains.insert(chain.to_vec(), Arc::downgrade(&credentials));
        Identity::new(caller, credentials)
    }
}

/// What every client gets: no identity cache (ours renews earlier), and checksums only where we ask for
/// them, because the default ones come as trailers that not every store returns.
fn without_sdk_habits(loaded: &SdkConfig) -> SdkConfig {
    loaded
        .to_builder()
        .identity_cache(IdentityCache::no_cache())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build()
}

/// The SDK always has a default provider; should it ever not, every call says so.
fn no_provider() -> BaseSource {
    use aws_credential_types::provider::{self, ProvideCredentials, error::CredentialsError, future};
    #[derive(Debug)]
    struct Nothing;
    impl ProvideCredentials for Nothing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let nothing: provider::Result = Err(CredentialsError::not_loaded_no_source());
            future::ProvideCredentials::ready(nothing)
        }
    }
    BaseSource(SharedCredentialsProvider::new(Nothing))
}
