//! Writing: small objects in one request, larger ones as uploads that appear when they are completed.

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType,
};
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;

use super::S3Store;
use super::call::Operation;
use super::checksum::{Sha256Sum, part_base64};
use super::read::{unquoted, url_decode, version};
use crate::aws::ErrorClass;
use crate::store::{ErrorKind, MIN_PART, ObjectMeta, Part, PutOptions, StoreError, UploadRef, keys};

const PUT: Operation = Operation::new("write object", "s3:PutObject").creating();
const BEGIN: Operation =
    Operation::new("begin upload", "s3:PutObject (and kms:GenerateDataKey, kms:Decrypt)");
const PART: Operation = Operation::new("upload part", "s3:PutObject (and kms:GenerateDataKey, kms:Decrypt)");
const COMPLETE: Operation = Operation::new("complete upload", "s3:PutObject (and kms:Decrypt)").creating();
const ABORT: Operation = Operation::new("abort upload", "s3:AbortMultipartUpload");
const UPLOADS: Operation = Operation::new("list uploads", "s3:ListBucketMultipartUploads");

pub(super) async fn put(
    store: &S3Store,
    key: &str,
    body: Bytes,
    options: &PutOptions,
) -> Result<ObjectMeta, StoreError> {
    let sum = Sha256Sum::of(&body).base64();
    let (kms_key, bucket_key) = store.kms();
    let answer = store
        .call(PUT, key, |client| {
            client
                .put_object()
                .bucket(&store.options.bucket)
                .key(key)
                .set_expected_bucket_owner(store.owner())
                .set_if_none_match(options.create.then(|| "*".to_owned()))
                .set_metadata(Some(options.metadata.clone().into_iter().collect()))
                .set_content_type(options.content_type.map(str::to_owned))
                .set_storage_class(store.storage_class(key))
                .set_server_side_encryption(store.encryption())
                .set_ssekms_key_id(kms_key.clone())
                .set_bucket_key_enabled(bucket_key)
                .checksum_sha256(&sum)
                .body(ByteStream::from(body.clone()))
                .send()
        })
        .await?;
    Ok(ObjectMeta {
        etag: unquoted(answer.e_tag()),
        version: version(answer.version_id()),
        size: body.len() as u64,
        // A PUT does not tell when it took effect; a HEAD does.
        modified: store.aws.time().timestamp().as_second(),
        metadata: options.metadata.clone(),
    })
}

pub(super) async fn begin(store: &S3Store, key: &str, options: &PutOptions) -> Result<String, StoreError> {
    let (kms_key, bucket_key) = store.kms();
    let answer = store
        .call(BEGIN, key, |client| {
            client
                .create_multipart_upload()
                .bucket(&store.options.bucket)
                .key(key)
                .set_expected_bucket_owner(store.owner())
                .set_metadata(Some(options.metadata.clone().into_iter().collect()))
                .set_content_type(options.content_type.map(str::to_owned))
                .set_storage_class(store.storage_class(key))
                .set_server_side_encryption(store.encryption())
                .set_ssekms_key_id(kms_key.clone())
                .set_bucket_key_enabled(bucket_key)
                // SHA-256 of an upload is composite only.
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_type(ChecksumType::Composite)
                .send()
        })
        .await?;
    let upload = answer.upload_id().filter(|id| !id.is_empty());
    upload
        .map(str::to_owned)
        .ok_or_else(|| local(store, BEGIN, key, ErrorKind::Other, "S3 answered without an id"))
}

pub(super) async fn part(
    store: &S3Store,
    key: &str,
    upload: &str,
    number: u32,
    body: Bytes,
) -> Result<Part, StoreError> {
    no_empty_id(store, PART, key, upload)?;
    if number == 0 || number > keys::MAX_PARTS {
        return Err(local(store, PART, key, ErrorKind::Invalid, "parts are numbered from 1 to 10000"));
    }
    let wire_number = i32::try_from(number).unwrap_or(i32::MAX);
    let sum = Sha256Sum::of(&body);
    let base64 = sum.base64();
    let answer = store
        .call(PART, key, |client| {
            client
                .upload_part()
                .bucket(&store.options.bucket)
                .key(key)
                .upload_id(upload)
                .part_number(wire_number)
                .set_expected_bucket_owner(store.owner())
                .checksum_sha256(&base64)
                .body(ByteStream::from(body.clone()))
                .send()
        })
        .await?;
    Ok(Part { number, etag: unquoted(answer.e_tag()), size: body.len() as u64, sha256: sum.hex() })
}

/// Completes with `If-None-Match: *`. S3 answers 412 when the name is taken, 409 when somebody deletes there at
/// the same time; a repeat of a completion that took effect gets success for a while and later 404
/// `NoSuchUpload`, so the caller asks `holds` after both. moto 5.2.5 answers 500 for an upload that is not
/// there; so a 5xx is followed by the question whether the upload still exists, which also tells sooner what
/// became of a completion of S3 that ended in a 500. ministack 1.5.33 answers as S3 does.
pub(super) async fn complete(
    store: &S3Store,
    key: &str,
    upload: &str,
    parts: &[Part],
) -> Result<(), StoreError> {
    no_empty_id(store, COMPLETE, key, upload)?;
    keys::check_parts(parts, MIN_PART).map_err(|why| local(store, COMPLETE, key, ErrorKind::Invalid, why))?;
    let list =
        CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(completed).collect())).build();
    let outcome = store
        .call_raw(|client| {
            client
                .complete_multipart_upload()
                .bucket(&store.options.bucket)
                .key(key)
                .upload_id(upload)
                .set_expected_bucket_owner(store.owner())
                .if_none_match("*")
                .checksum_type(ChecksumType::Composite)
                .multipart_upload(list.clone())
                .send()
        })
        .await;
    let Err(failure) = outcome else { return Ok(()) };
    let answered = failure.class() == ErrorClass::Unavailable && failure.status().is_some();
    if answered && is_gone(store, key, upload).await {
        return Err(local(
            store,
            COMPLETE,
            key,
            ErrorKind::NoSuchUpload,
            "failed, and the upload is not there",
        ));
    }
    Err(store.error(COMPLETE, key, &failure))
}

/// Whether S3 says that there is no such upload. Without permission to ask: `false`.
async fn is_gone(store: &S3Store, key: &str, upload: &str) -> bool {
    let asked = store
        .call_raw(|client| {
            client
                .list_parts()
                .bucket(&store.options.bucket)
                .key(key)
                .upload_id(upload)
                .max_parts(1)
                .set_expected_bucket_owner(store.owner())
                .send()
        })
        .await;
    asked.is_err_and(|failure| failure.class() == ErrorClass::NoSuchUpload)
}

fn completed(part: &Part) -> CompletedPart {
    CompletedPart::builder()
        .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
        .e_tag(format!("\"{}\"", part.etag))
        .set_checksum_sha256(part_base64(part))
        .build()
}

pub(super) async fn abort(store: &S3Store, key: &str, upload: &str) -> Result<(), StoreError> {
    if upload.is_empty() {
        return Ok(());
    }
    let answer = store
        .call(ABORT, key, |client| {
            client
                .abort_multipart_upload()
                .bucket(&store.options.bucket)
                .key(key)
                .upload_id(upload)
                .set_expected_bucket_owner(store.owner())
                .send()
        })
        .await;
    match answer {
        Err(error) if error.kind() != ErrorKind::NoSuchUpload => Err(error),
        _ => Ok(()),
    }
}

pub(super) async fn list_uploads(
    store: &S3Store,
    prefix: &str,
    limit: usize,
) -> Result<Vec<UploadRef>, StoreError> {
    let mut found = Vec::new();
    let mut after: (Option<String>, Option<String>) = (None, None);
    while found.len() < limit {
        let wanted = i32::try_from((limit - found.len()).min(keys::PAGE)).unwrap_or(1_000);
        let page = store
            .call(UPLOADS, "", |client| {
                client
                    .list_multipart_uploads()
                    .bucket(&store.options.bucket)
                    .set_expected_bucket_owner(store.owner())
                    .set_prefix((!prefix.is_empty()).then(|| prefix.to_owned()))
                    .encoding_type(EncodingType::Url)
                    .max_uploads(wanted)
                    .set_key_marker(after.0.clone())
                    .set_upload_id_marker(after.1.clone())
                    .send()
            })
            .await?;
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let before = found.len();
        for upload in page.uploads() {
            let key =
                upload.key().and_then(|key| if encoded { url_decode(key) } else { Some(key.to_owned()) });
            if let (Some(key), Some(id)) = (key, upload.upload_id()) {
                // Emulators do not all look at the prefix and the limit.
                if key.starts_with(prefix) && found.len() < limit {
                    found.push(UploadRef { key, upload: id.to_owned() });
                }
            }
        }
        let next =
            page.next_key_marker().map(|key| if encoded { url_decode(key) } else { Some(key.to_owned()) });
        let next = (next.flatten(), page.next_upload_id_marker().map(str::to_owned));
        if !page.is_truncated().unwrap_or(false) || next == after || found.len() == before {
            break;
        }
        after = next;
    }
    Ok(found)
}

fn no_empty_id(store: &S3Store, operation: Operation, key: &str, upload: &str) -> Result<(), StoreError> {
    if upload.is_empty() {
        return Err(local(store, operation, key, ErrorKind::NoSuchUpload, "an upload without an id"));
    }
    Ok(())
}

/// An error of our own, before anything is sent.
fn local(store: &S3Store, operation: Operation, key: &str, kind: ErrorKind, message: &str) -> StoreError {
    StoreError::new(kind, operation.verb, format!("{}/{key}", store.url), message)
}
