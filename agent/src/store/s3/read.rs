//! Reading: listings, HEADs, and bodies in pieces.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{ChecksumMode, EncodingType};
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;

use super::call::Operation;
use super::{S3Store, checksum};
use crate::store::{
    Body, ErrorKind, GetObject, GetOptions, ListPage, ListRequest, ListedObject, MAX_PIECE, Metadata,
    ObjectMeta, Part, StoreError,
};

const LIST: Operation = Operation::new("list objects", "s3:ListBucket");
const GET: Operation = Operation::new("read object", "s3:GetObject");
const GET_VERSION: Operation = Operation::new("read object", "s3:GetObject and s3:GetObjectVersion");
/// A HEAD is a GET without a body to IAM; without s3:ListBucket, what is missing looks forbidden.
const HEAD: Operation = Operation::new("look at object", "s3:GetObject and s3:ListBucket");

/// The longest wait for the next bytes of a body. The clock runs only while somebody waits for them, so that
/// back-pressure does not look like a stalled connection.
const STALL: Duration = Duration::from_secs(30);

pub(super) async fn list(store: &S3Store, request: &ListRequest) -> Result<ListPage, StoreError> {
    let page = store
        .call(LIST, "", |client| {
            client
                .list_objects_v2()
                .bucket(&store.options.bucket)
                .set_expected_bucket_owner(store.owner())
                // Keys may hold what XML cannot.
                .encoding_type(EncodingType::Url)
                .set_prefix((!request.prefix.is_empty()).then(|| request.prefix.clone()))
                .set_delimiter(request.delimiter.then(|| "/".to_owned()))
                .set_start_after(request.start_after.clone().filter(|_| request.continuation.is_none()))
                .set_continuation_token(request.continuation.clone())
                .send()
        })
        .await?;
    let encoded = page.encoding_type() == Some(&EncodingType::Url);
    convert_page(&page, encoded).ok_or_else(|| {
        StoreError::new(ErrorKind::Other, LIST.verb, &store.url, "the answer holds keys that are not UTF-8")
    })
}

fn convert_page(page: &ListObjectsV2Output, encoded: bool) -> Option<ListPage> {
    let decode = |text: &str| if encoded { url_decode(text) } else { Some(text.to_owned()) };
    let mut objects = Vec::new();
    for object in page.contents() {
        objects.push(ListedObject {
            key: decode(object.key()?)?,
            etag: unquoted(object.e_tag()),
            size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            modified: object.last_modified().map_or(0, aws_smithy_types::DateTime::secs),
        });
    }
    let mut prefixes = Vec::new();
    for folded in page.common_prefixes() {
        prefixes.push(decode(folded.prefix()?)?);
    }
    let more = page.is_truncated().unwrap_or(false);
    Some(ListPage {
        objects,
        prefixes,
        next: page.next_continuation_token().filter(|_| more).map(str::to_owned),
    })
}

pub(super) async fn head(store: &S3Store, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
    Ok(raw_head(store, key).await?.map(|head| meta_of_head(&head)))
}

/// Whether the object is the one of these parts. Emulators: moto 5.2.5 and ministack 1.5.33 differ in what a
/// HEAD tells of an upload's checksums, so the composite ETag is the fallback; S3 tells the SHA-256.
pub(super) async fn holds(store: &S3Store, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
    Ok(raw_head(store, key).await?.is_some_and(|head| checksum::matches(&head, parts)))
}

async fn raw_head(store: &S3Store, key: &str) -> Result<Option<HeadObjectOutput>, StoreError> {
    let answer = store
        .call(HEAD, key, |client| {
            client
                .head_object()
                .bucket(&store.options.bucket)
                .key(key)
                .set_expected_bucket_owner(store.owner())
                .checksum_mode(ChecksumMode::Enabled)
                .send()
        })
        .await;
    match answer {
        Ok(head) => Ok(Some(head)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn get(store: &S3Store, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
    let range = match &options.range {
        Some(range) if range.is_empty() => {
            let message = "an empty range";
            return Err(StoreError::new(
                ErrorKind::Invalid,
                GET.verb,
                format!("{}/{key}", store.url),
                message,
            ));
        }
        Some(Range { start, end }) => Some(format!("bytes={start}-{}", end - 1)),
        None => None,
    };
    let operation = if options.version.is_some() { GET_VERSION } else { GET };
    let answer = store
        .call(operation, key, |client| {
            client
                .get_object()
                .bucket(&store.options.bucket)
                .key(key)
                .set_expected_bucket_owner(store.owner())
                .set_range(range.clone())
                .set_if_match(options.if_match.as_ref().map(|etag| format!("\"{etag}\"")))
                .set_version_id(options.version.clone())
                .send()
        })
        .await?;
    let place = format!("{}/{key}", store.url);
    let Some(length) = answer.content_length().and_then(|length| u64::try_from(length).ok()) else {
        return Err(StoreError::new(ErrorKind::Unavailable, GET.verb, place, "the answer tells no length"));
    };
    let meta = meta_of_get(&answer, length);
    let body = S3Body { stream: Some(answer.body), rest: Bytes::new(), missing: length, length, place };
    Ok(GetObject { meta, body: Box::new(body) })
}

/// The bytes of a GET.
struct S3Body {
    /// `None` after the end and after an error.
    stream: Option<ByteStream>,
    /// What came and is larger than a piece. The HTTP client's read buffer bounds it (some 400 KiB).
    rest: Bytes,
    /// Bytes that are still to come.
    missing: u64,
    length: u64,
    place: String,
}

#[async_trait]
impl Body for S3Body {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        while self.rest.is_empty() {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            // Cancel-safe: the stream keeps what it has not yet handed over.
            let arrived = tokio::time::timeout(STALL, stream.next()).await;
            self.rest = match arrived {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(None) if self.missing == 0 => {
                    self.stream = None;
                    return Ok(None);
                }
                Ok(None) => return Err(self.broken("the connection was closed")),
                Ok(Some(Err(error))) => return Err(self.broken(&cause_of(&error))),
                Err(_) => return Err(self.broken("no byte came for 30s")),
            };
            let Some(missing) = self.missing.checked_sub(self.rest.len() as u64) else {
                self.rest = Bytes::new();
                return Err(self.broken("more bytes came than were announced"));
            };
            self.missing = missing;
        }
        Ok(Some(self.rest.split_to(self.rest.len().min(MAX_PIECE))))
    }
}

impl S3Body {
    fn broken(&mut self, why: &str) -> StoreError {
        self.stream = None;
        let message =
            format!("broken off after {} of {} bytes: {why}", self.length - self.missing, self.length);
        StoreError::new(ErrorKind::Unavailable, GET.verb, &self.place, message)
    }
}

fn cause_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().chars().take(200).collect()
}

fn meta_of_head(head: &HeadObjectOutput) -> ObjectMeta {
    ObjectMeta {
        etag: unquoted(head.e_tag()),
        version: version(head.version_id()),
        size: head.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        modified: head.last_modified().map_or(0, aws_smithy_types::DateTime::secs),
        metadata: metadata(head.metadata()),
    }
}

fn meta_of_get(answer: &GetObjectOutput, length: u64) -> ObjectMeta {
    // `bytes 0-99/1234`: the size of the whole stands behind the slash.
    let whole = answer.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    ObjectMeta {
        etag: unquoted(answer.e_tag()),
        version: version(answer.version_id()),
        size: whole.unwrap_or(length),
        modified: answer.last_modified().map_or(0, aws_smithy_types::DateTime::secs),
        metadata: metadata(answer.metadata()),
    }
}

fn metadata(told: Option<&std::collections::HashMap<String, String>>) -> Metadata {
    let told = told.into_iter().flatten();
    told.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// S3 says `null` for what was written before versioning; so do emulators for buckets without versions.
pub(super) fn version(told: Option<&str>) -> Option<String> {
    told.filter(|version| !version.is_empty() && *version != "null").map(str::to_owned)
}

pub(super) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or("").trim_matches('"').to_owned()
}

/// Undoes `encoding-type=url`: percent signs, and `+` for a space (S3 and both emulators write `%2B` for a
/// plus). `None` if what comes out is not UTF-8.
pub(super) fn url_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (char::from(*rest.next()?), char::from(*rest.next()?));
                u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        assert_eq!(url_decode("a%2Fb+c%2B%C3%A9/d").unwrap(), "a/b c+é/d");
        for wrong in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(url_decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_that_is_not_truncated_has_no_token() {
        let page = ListObjectsV2Output::builder().next_continuation_token("t").is_truncated(false).build();
        assert_eq!(convert_page(&page, true).unwrap().next, None);
    }
}
