//! Requests as a script sees them, and what it can do to them.

use std::fmt;
use std::time::Duration;

use super::http::Head;

/// The service that a request is for, by the scope of its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// S3.
    S3,
    /// STS.
    Sts,
    /// Kinesis.
    Kinesis,
    /// CloudTrail.
    CloudTrail,
    /// Any other, or none.
    Other,
}

/// A request, without its body.
#[derive(Debug, Clone)]
pub struct Request {
    /// From 1, in order of arrival at this proxy.
    pub number: u64,
    /// Which service.
    pub service: Service,
    /// What is asked: `GetObject`, `PutRecords`; for what is not known, the method.
    pub operation: String,
    /// The region of its signature.
    pub region: String,
    /// The access key id of its signature.
    pub access_key: String,
    /// S3: the bucket, of a path-style URL.
    pub bucket: String,
    /// S3: the key as it stands in the URL.
    pub key: String,
    /// The query, without `?`.
    pub query: String,
    /// `x-amz-expected-bucket-owner`.
    pub owner: Option<String>,
    /// `x-amz-date`: when it was signed.
    pub date: String,
    /// `Range`.
    pub range: Option<String>,
    /// `If-Match`.
    pub if_match: Option<String>,
    /// The announced size of the body.
    pub length: u64,
}

/// What becomes of a request.
pub enum Action {
    /// It goes through.
    Forward,
    /// It goes through a little later.
    Delay(Duration),
    /// The proxy answers; the emulator never sees it.
    Answer(Answer),
    /// The connection breaks before the emulator sees it.
    BreakBefore,
    /// The emulator does it, and the connection breaks before the answer.
    BreakAfter,
    /// The emulator does it, then this runs (it may kill the agent), then the connection breaks.
    After(Box<dyn FnOnce() + Send>),
    /// The answer's body breaks off after so many bytes.
    Truncate(u64),
    /// The answer's body, a text of announced length, is another.
    Rewrite(Box<dyn FnOnce(&str) -> String + Send>),
    /// Nothing happens for this long, then the connection breaks. The emulator never sees it.
    Stall(Duration),
    /// PutRecords: these entries (by index) fail with this code; the emulator gets the others.
    FailEntries(Vec<usize>, &'static str),
}

/// An answer in place of the emulator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// An S3 error of this status and code.
    pub fn s3(status: u16, code: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/xml".to_owned())],
            body: format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>scripted \
                 {code}</Message><RequestId>SCRIPTED</RequestId></Error>"
            ),
        }
    }

    /// A Kinesis (JSON 1.1) error of this status and type.
    pub fn json(status: u16, code: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), "application/x-amz-json-1.1".to_owned())],
            body: format!("{{\"__type\":\"{code}\",\"message\":\"scripted {code}\"}}"),
        }
    }

    /// S3 asks for fewer requests.
    pub fn slow_down() -> Self {
        Self::s3(503, "SlowDown")
    }

    /// S3 refuses.
    pub fn denied() -> Self {
        Self::s3(403, "AccessDenied")
    }

    /// The bucket is in another region.
    pub fn moved(region: &str) -> Self {
        Self::s3(301, "PermanentRedirect").with("x-amz-bucket-region", region)
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Request {
    pub(super) fn of(head: &Head) -> Self {
        let scope = head.header("authorization").and_then(scope).unwrap_or_default();
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        let (bucket, key) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), ""));
        let service = match scope.service.as_str() {
            "s3" => Service::S3,
            "sts" => Service::Sts,
            "kinesis" => Service::Kinesis,
            "cloudtrail" => Service::CloudTrail,
            _ => Service::Other,
        };
        let is_s3 = service == Service::S3;
        Self {
            number: 0,
            service,
            operation: operation(service, head, key, query),
            region: scope.region,
            access_key: scope.access_key,
            bucket: if is_s3 { bucket.to_owned() } else { String::new() },
            key: if is_s3 { key.to_owned() } else { String::new() },
            query: query.to_owned(),
            owner: head.header("x-amz-expected-bucket-owner").map(str::to_owned),
            date: head.header("x-amz-date").unwrap_or("").to_owned(),
            range: head.header("range").map(str::to_owned),
            if_match: head.header("if-match").map(str::to_owned),
            length: head.length().unwrap_or(0),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "#{} {:?} {} {}/{}?{}",
            self.number, self.service, self.operation, self.bucket, self.key, self.query
        )
    }
}

#[derive(Default)]
struct Scope {
    access_key: String,
    region: String,
    service: String,
}

/// `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`
fn scope(authorization: &str) -> Option<Scope> {
    let credential = authorization.split("Credential=").nth(1)?.split(',').next()?;
    let mut parts = credential.split('/');
    let access_key = parts.next()?.to_owned();
    let _date = parts.next()?;
    Some(Scope { access_key, region: parts.next()?.to_owned(), service: parts.next()?.to_owned() })
}

fn operation(service: Service, head: &Head, key: &str, query: &str) -> String {
    if let Some(target) = head.header("x-amz-target") {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    if service != Service::S3 {
        return head.method.clone();
    }
    let has = |name: &str| query.split('&').any(|part| part.split('=').next() == Some(name));
    let name = match (head.method.as_str(), key.is_empty()) {
        ("GET", true) if has("uploads") => "ListMultipartUploads",
        ("GET", true) if has("versions") => "ListObjectVersions",
        ("GET", true) if has("list-type") => "ListObjectsV2",
        ("GET", false) if has("uploadId") => "ListParts",
        ("GET", false) => "GetObject",
        ("HEAD", false) => "HeadObject",
        ("PUT", false) if has("uploadId") => "UploadPart",
        ("PUT", false) => "PutObject",
        ("POST", false) if has("uploads") => "CreateMultipartUpload",
        ("POST", false) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", false) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", false) => "DeleteObject",
        (method, _) => method,
    };
    name.to_owned()
}
