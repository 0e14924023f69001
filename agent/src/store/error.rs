//! What can go wrong at a store, by what the caller can do about it.

use std::fmt;

use crate::runtime::Retryable;

/// The classes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such object (or bucket).
    NotFound,
    /// A create found something there, and left it alone.
    AlreadyExists,
    /// The object is not the one that `if_match` named.
    Changed,
    /// The upload is not there: completed, aborted or never begun.
    NoSuchUpload,
    /// Credentials, policies or permissions refuse it. Retrying soon does not help; somebody must mend it.
    Denied,
    /// The object lies in a cold storage class and must be restored first (S3 `InvalidObjectState`).
    Archived,
    /// The store asks for fewer requests (503 SlowDown).
    Throttled,
    /// A conflicting operation ran at the same time (409): the same call may be made again.
    Conflict,
    /// Time-out, broken connection, 5xx: nobody knows whether the call took effect.
    Unavailable,
    /// No room, or a quota is used up.
    Full,
    /// The key or the request is not one that this store can take; nothing was sent.
    Invalid,
    /// Anything else, with the store's words.
    Other,
}

impl ErrorKind {
    /// The kind as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Changed => "changed",
            Self::NoSuchUpload => "no_such_upload",
            Self::Denied => "denied",
            Self::Archived => "archived",
            Self::Throttled => "throttled",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }
}

impl Retryable for StoreError {
    fn is_retryable(&self) -> bool {
        Self::is_retryable(self)
    }
}

/// A failed call to a store: what was tried, where, and what came back. Holds no credentials.
#[derive(Debug, thiserror::Error)]
pub struct StoreError {
    kind: ErrorKind,
    operation: &'static str,
    place: String,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.place, self.message)
    }
}

impl StoreError {
    /// An error of `operation` (a verb in the present tense, such as "read object") on `place` (a URL).
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        place: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, operation, place: place.into(), message: message.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed in a moment without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Throttled | ErrorKind::Conflict | ErrorKind::Unavailable)
    }

    /// Whether the call may have taken effect all the same.
    pub fn outcome_unknown(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }
}
