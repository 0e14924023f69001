//! One call to S3: sent, put right once where the refusal says how, and its error told in our words.

use aws_sdk_s3::Client;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::S3Store;
use crate::aws::{ErrorClass, Failure, classify};
use crate::store::{ErrorKind, StoreError};

/// What a call is for, and which permissions it needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// A verb in the present tense.
    pub(super) verb: &'static str,
    /// The IAM actions.
    pub(super) needs: &'static str,
    /// What a condition that does not hold means here.
    pub(super) condition: ErrorKind,
}

impl Operation {
    pub(super) const fn new(verb: &'static str, needs: &'static str) -> Self {
        Self { verb, needs, condition: ErrorKind::Changed }
    }

    pub(super) const fn creating(self) -> Self {
        Self { condition: ErrorKind::AlreadyExists, ..self }
    }
}

impl S3Store {
    /// Makes a call. `send` builds the request anew for each of the two attempts at most.
    pub(super) async fn call<T, E, F, S>(
        &self,
        operation: Operation,
        key: &str,
        send: S,
    ) -> Result<T, StoreError>
    where
        S: Fn(Client) -> F,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.call_raw(send).await.map_err(|failure| self.error(operation, key, &failure))
    }

    /// The same, for who needs to know how the call failed.
    pub(super) async fn call_raw<T, E, F, S>(&self, send: S) -> Result<T, Failure>
    where
        S: Fn(Client) -> F,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (client, region) = self.current();
        let failure = match send(client).await {
            Ok(done) => return Ok(done),
            Err(error) => classify(&error),
        };
        if !self.put_right(&failure, &region) {
            return Err(failure);
        }
        let (client, _) = self.current();
        send(client).await.map_err(|error| classify(&error))
    }

    /// Whether the cause of a refusal could be removed. All of these refuse the call before it has any effect.
    fn put_right(&self, failure: &Failure, region: &str) -> bool {
        match failure.class() {
            // Another call may have moved the store meanwhile: then this one is repeated there.
            ErrorClass::WrongRegion => {
                failure.region().is_some_and(|named| self.move_to(named) || named != region)
            }
            _ => self.aws.put_right(&self.options.identity, failure),
        }
    }

    pub(super) fn error(&self, operation: Operation, key: &str, failure: &Failure) -> StoreError {
        let place = if key.is_empty() { self.url.clone() } else { format!("{}/{key}", self.url) };
        let kind = failure.store_kind(operation.condition);
        let message = match self.hint(operation, failure.class()) {
            Some(hint) => format!("{failure}; {hint}"),
            None => failure.to_string(),
        };
        StoreError::new(kind, operation.verb, place, message)
    }

    /// What somebody can do about it.
    fn hint(&self, operation: Operation, class: ErrorClass) -> Option<String> {
        let (caller, needs, bucket) = (self.options.identity.caller(), operation.needs, &self.options.bucket);
        let owner = match self.options.owner {
            Some(owner) => format!(", and make sure that account {owner} owns the bucket"),
            None => String::new(),
        };
        match class {
            ErrorClass::Denied => Some(format!(
                "called by {caller}: allow {needs} on bucket {bucket} (and the key of its encryption){owner}"
            )),
            ErrorClass::NoCredentials | ErrorClass::Expired => {
                Some(format!("needed by {caller} for {needs}"))
            }
            ErrorClass::WrongRegion => {
                Some(format!("requests go to region {}; set the region of bucket {bucket}", self.region()))
            }
            ErrorClass::Archived => {
                Some("restore the object, or let the lifecycle keep it readable longer".into())
            }
            ErrorClass::Skewed => Some("set this machine's clock".into()),
            _ => None,
        }
    }
}
