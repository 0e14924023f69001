//! What an AWS error means, by what the caller can do about it.
//!
//! In: an `SdkError` of any service. Out: a [`Failure`] with a class, the service's own words (clipped, one
//! line) and what is needed to act on it: the region that the bucket is really in, the server's time. The
//! code decides first, then the status, because S3 also answers errors with 200 and HEAD without a body.
//! The `SdkError` itself is dropped: it holds raw headers, and nothing secret may reach a log through it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use jiff::Timestamp;

use crate::runtime::Retryable;
use crate::store::ErrorKind;

/// Why the connection to AWS cannot be set up. All of these are mistakes of the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Neither the configuration nor the environment names a region.
    #[error("no AWS region: set aws.region, or AWS_REGION in the environment")]
    NoRegion,
    /// The proxy's URL is not one. It is not shown, for it may hold a password.
    #[error("aws.proxy is not a URL such as http://proxy.example.com:3128")]
    Proxy,
    /// The CA bundle cannot be used.
    #[error("aws.ca_bundle {}: {why}", path.display())]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refuses to start.
    #[error("set up TLS: {0}")]
    Tls(String),
}

/// The classes of failure of an AWS call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A policy, a key or an account setting refuses the call.
    Denied,
    /// No credentials could be had for it.
    NoCredentials,
    /// The credentials have expired: renew them and call again.
    Expired,
    /// Fewer requests, please.
    Throttled,
    /// The bucket lies in another region ([`Failure::region`], when the answer tells).
    WrongRegion,
    /// The object must be restored from a cold storage class first.
    Archived,
    /// There is no such object, bucket, stream or role.
    NotFound,
    /// A condition (`If-Match`, `If-None-Match`) does not hold.
    Precondition,
    /// Another operation was under way.
    Conflict,
    /// There is no such multipart upload.
    NoSuchUpload,
    /// Our clock is too far from the server's ([`Failure::server_time`]).
    Skewed,
    /// Time-out, broken connection, 5xx: nobody knows whether the call took effect.
    Unavailable,
    /// A quota is used up.
    Full,
    /// The request is not one that the service takes.
    Invalid,
    /// Anything else.
    Other,
}

/// A failed call.
#[derive(Debug, Clone)]
pub struct Failure {
    class: ErrorClass,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    request_id: Option<String>,
    region: Option<String>,
    server_time: Option<Timestamp>,
}

impl Failure {
    /// A failure of this class, told in our own words.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            code: None,
            message: message.into(),
            request_id: None,
            region: None,
            server_time: None,
        }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Unavailable, message)
    }

    /// The class.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The HTTP status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The service's error code, such as `SlowDown`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The region that the bucket is in, when the answer told it.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The server's time, when the answer told it.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.server_time
    }

    /// Whether the same call may succeed in a moment without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(self.class, ErrorClass::Throttled | ErrorClass::Conflict | ErrorClass::Unavailable)
    }

    /// The failure as those of stores and sinks are classed; `condition` is what a condition that does not hold
    /// means to the call.
    pub(crate) fn store_kind(&self, condition: ErrorKind) -> ErrorKind {
        match self.class {
            ErrorClass::Denied | ErrorClass::NoCredentials | ErrorClass::Expired | ErrorClass::Skewed => {
                ErrorKind::Denied
            }
            ErrorClass::Throttled => ErrorKind::Throttled,
            ErrorClass::Archived => ErrorKind::Archived,
            ErrorClass::NotFound => ErrorKind::NotFound,
            ErrorClass::Precondition => condition,
            ErrorClass::Conflict => ErrorKind::Conflict,
            ErrorClass::NoSuchUpload => ErrorKind::NoSuchUpload,
            ErrorClass::Unavailable => ErrorKind::Unavailable,
            ErrorClass::Full => ErrorKind::Full,
            ErrorClass::Invalid => ErrorKind::Invalid,
            ErrorClass::WrongRegion | ErrorClass::Other => ErrorKind::Other,
        }
    }

    /// The same failure with a hint behind it: what somebody can do.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(hint);
        self
    }
}

impl Retryable for Failure {
    fn is_retryable(&self) -> bool {
        Self::is_retryable(self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (&self.code, self.status) {
            (Some(code), Some(status)) => write!(f, " ({code}, {status}")?,
            (Some(code), None) => write!(f, " ({code}")?,
            (None, Some(status)) => write!(f, " (status {status}")?,
            (None, None) => return Ok(()),
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

/// A failure to get credentials, as it travels through the SDK to the call that needed them.
#[derive(Debug, Clone)]
pub(super) struct NoCredentials(pub(super) Arc<Failure>);

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NoCredentials {}

/// Classifies the error of a call.
pub fn classify<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(NoCredentials(failure)) = find::<NoCredentials>(error) {
        let class = if failure.is_retryable() { failure.class } else { ErrorClass::NoCredentials };
        return Failure { class, ..Failure::clone(failure) };
    }
    match error {
        SdkError::ServiceError(service) => from_answer(service.err().meta(), service.raw()),
        SdkError::ResponseError(broken) => {
            let mut failure =
                Failure::unavailable(format!("the answer cannot be read: {}", root_cause(error)));
            failure.status = Some(broken.raw().status().as_u16());
            failure
        }
        SdkError::TimeoutError(_) => Failure::unavailable("timed out"),
        SdkError::DispatchFailure(dispatch) if dispatch.is_user() => {
            Failure::new(ErrorClass::Invalid, format!("nothing was sent: {}", root_cause(error)))
        }
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => {
            Failure::unavailable(format!("timed out: {}", root_cause(error)))
        }
        SdkError::DispatchFailure(_) => {
            let cause = root_cause(error);
            // rustls: "invalid peer certificate: UnknownIssuer". Worth another try all the same: some day the right
            // server may answer there.
            let hint = if cause.contains("peer certificate") {
                "; aws.ca_bundle must hold the CA of the endpoint's certificate, or of the proxy that stands in for it"
            } else {
                ""
            };
            Failure::unavailable(format!("connection failed: {cause}{hint}"))
        }
        SdkError::ConstructionFailure(_) => {
            Failure::new(ErrorClass::Invalid, format!("nothing was sent: {}", root_cause(error)))
        }
        _ => Failure::new(ErrorClass::Other, root_cause(error)),
    }
}

fn from_answer(meta: &aws_smithy_types::error::ErrorMetadata, raw: &HttpResponse) -> Failure {
    let status = raw.status().as_u16();
    let header = |name: &str| raw.headers().get(name);
    let server_time = header("date").and_then(http_date);
    let region = header("x-amz-bucket-region").filter(|r| is_region(r)).map(str::to_owned);
    let code = meta.code().map(|code| one_line(code, 64));
    let class = class_of(code.as_deref(), status, region.is_some());
    Failure {
        class,
        status: Some(status),
        message: meta.message().map_or_else(|| words(class).to_owned(), |text| one_line(text, 300)),
        request_id: header("x-amz-request-id")
            .or_else(|| header("x-amzn-requestid"))
            .map(|id| one_line(id, 64)),
        code,
        region,
        server_time,
    }
}

/// The class of an error code (S3, "Error responses"; STS and Kinesis, "Common errors"), else of the status.
fn class_of(code: Option<&str>, status: u16, names_region: bool) -> ErrorClass {
    let by_code = match code.unwrap_or("") {
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken" => {
            ErrorClass::Expired
        }
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => ErrorClass::Skewed,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "ProvisionedThroughputExceededException"
        | "KMSThrottlingException"
        | "LimitExceededException"
        | "EC2ThrottledException" => ErrorClass::Throttled,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => ErrorClass::WrongRegion,
        "InvalidObjectState" => ErrorClass::Archived,
        "NoSuchUpload" => ErrorClass::NoSuchUpload,
        "NoSuchKey" | "NoSuchBucket" | "NoSuchVersion" | "NotFound" | "ResourceNotFoundException" => {
            ErrorClass::NotFound
        }
        "PreconditionFailed" => ErrorClass::Precondition,
        "ConditionalRequestConflict" | "OperationAborted" => ErrorClass::Conflict,
        "RequestTimeout"
        | "InternalError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "IDPCommunicationError" => ErrorClass::Unavailable,
        "ServiceQuotaExceededException" | "TooManyBuckets" => ErrorClass::Full,
        "EntityTooLarge"
        | "EntityTooSmall"
        | "KeyTooLongError"
        | "MetadataTooLarge"
        | "InvalidArgument"
        | "InvalidBucketName"
        | "InvalidRequest"
        | "InvalidPart"
        | "InvalidPartOrder"
        | "InvalidRange"
        | "BadDigest"
        | "InvalidDigest"
        | "ValidationError"
        | "ValidationException"
        | "InvalidArgumentException"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => ErrorClass::Invalid,
        "AccessDenied"
        | "AccessDeniedException"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "OptInRequired"
        | "RegionDisabledException"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "KMSOptInRequired"
        | "NotSignedUp"
        | "AuthFailure"
        | "PackedPolicyTooLarge" => ErrorClass::Denied,
        code if code.starts_with("KMS.") => ErrorClass::Denied,
        _ => ErrorClass::Other,
    };
    if by_code == ErrorClass::Other { class_of_status(status, names_region) } else { by_code }
}

/// The class of an answer without a known code; S3 answers a HEAD without a body, so without a code.
fn class_of_status(status: u16, names_region: bool) -> ErrorClass {
    match status {
        301 | 302 | 307 | 308 => ErrorClass::WrongRegion,
        400 if names_region => ErrorClass::WrongRegion,
        401 | 403 => ErrorClass::Denied,
        404 => ErrorClass::NotFound,
        409 => ErrorClass::Conflict,
        304 | 412 => ErrorClass::Precondition,
        400 | 405 | 411 | 413 | 414 | 416 => ErrorClass::Invalid,
        429 => ErrorClass::Throttled,
        500.. => ErrorClass::Unavailable,
        _ => ErrorClass::Other,
    }
}

/// What to say when the service says nothing.
fn words(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Denied => "access denied",
        ErrorClass::NoCredentials => "no credentials",
        ErrorClass::Expired => "the credentials have expired",
        ErrorClass::Throttled => "too many requests",
        ErrorClass::WrongRegion => "the bucket is in another region",
        ErrorClass::Archived => "the object is in a cold storage class",
        ErrorClass::NotFound => "not found",
        ErrorClass::Precondition => "the condition does not hold",
        ErrorClass::Conflict => "another operation was under way",
        ErrorClass::NoSuchUpload => "no such upload",
        ErrorClass::Skewed => "our clock is too far off",
        ErrorClass::Unavailable => "the service failed",
        ErrorClass::Full => "a quota is used up",
        ErrorClass::Invalid => "the request was refused",
        ErrorClass::Other => "unexpected answer",
    }
}

/// A `Date` header (RFC 9110, IMF-fixdate).
fn http_date(text: &str) -> Option<Timestamp> {
    let date =
        aws_smithy_types::DateTime::from_str(text, aws_smithy_types::date_time::Format::HttpDate).ok()?;
    Timestamp::from_second(date.secs()).ok()
}

/// A region's name, so that no answer can lead us to a host of its choice.
fn is_region(text: &str) -> bool {
    (4..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// At most `max` characters on one line.
fn one_line(text: &str, max: usize) -> String {
    text.trim().chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    one_line(&cause.to_string(), 300)
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        assert_eq!(class_of(Some("InvalidObjectState"), 403, false), ErrorClass::Archived);
        assert_eq!(class_of(Some("InternalError"), 200, false), ErrorClass::Unavailable);
        assert_eq!(class_of(Some("ExpiredToken"), 400, false), ErrorClass::Expired);
        assert_eq!(class_of(Some("AuthorizationHeaderMalformed"), 400, true), ErrorClass::WrongRegion);
        assert_eq!(class_of(Some("Unheard"), 503, false), ErrorClass::Unavailable);
        assert_eq!(class_of(Some("KMS.NotFoundException"), 400, false), ErrorClass::Denied);
    }

    #[test]
    fn a_head_without_a_body_is_classed_by_its_status() {
        assert_eq!(class_of(None, 404, false), ErrorClass::NotFound);
        assert_eq!(class_of(None, 400, true), ErrorClass::WrongRegion);
        assert_eq!(class_of(None, 400, false), ErrorClass::Invalid);
        assert_eq!(class_of(None, 301, true), ErrorClass::WrongRegion);
    }

    #[test]
    fn a_region_cannot_be_a_host() {
        assert!(is_region("eu-central-1"));
        for wrong in ["evil.example.com/", "a@b", "", "EU", "eu_central_1"] {
            assert!(!is_region(wrong), "{wrong}");
        }
    }

    #[test]
    fn words_from_outside_stay_on_one_line() {
        assert_eq!(one_line(" a\nb\u{1b}c ", 4), "a b ");
    }
}
