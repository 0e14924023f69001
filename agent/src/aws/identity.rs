//! Identities: who makes a call, and the credentials that it is made with.

use std::fmt;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use trailhaul_core::model::AccountId;

use super::credentials::Renewed;
use super::error::NoCredentials;
use super::role::RoleArn;

/// Who calls, for messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The credentials that the process was started with.
    Base,
    /// This role.
    Role(RoleArn),
}

impl Caller {
    /// The account of the caller, as far as it is known without asking.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Base => None,
            Self::Role(arn) => Some(arn.account()),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("the agent's own credentials"),
            Self::Role(arn) => arn.fmt(f),
        }
    }
}

/// A caller with credentials that renew themselves. Cheap to clone; all clones share the credentials.
#[derive(Debug, Clone)]
pub struct Identity {
    caller: Caller,
    credentials: Arc<Renewed>,
}

impl Identity {
    pub(super) fn new(caller: Caller, credentials: Arc<Renewed>) -> Self {
        Self { caller, credentials }
    }

    /// Who this is.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Gives up the credentials in use, because AWS said that they have expired; the next call fetches new
    /// ones. `false` when they are new already, so that repeating the call would not help.
    pub(crate) fn expire(&self) -> bool {
        self.credentials.expire()
    }

    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Shared(Arc::clone(&self.credentials)))
    }
}

/// The credentials as the SDK takes them.
#[derive(Debug)]
struct Shared(Arc<Renewed>);

impl ProvideCredentials for Shared {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            // The failure travels whole: `classify` finds it in the chain of the call that needed it.
            self.0.get().await.map_err(|failure| CredentialsError::provider_error(NoCredentials(failure)))
        })
    }
}
