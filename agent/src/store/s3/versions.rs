//! The versions of objects: `ListObjectVersions`.
//!
//! S3 answers versions and delete markers in two lists of one page; here they are one, by key and then the
//! newest first. A bucket that never had versioning has one version of each object, which it calls `null`.

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::EncodingType;
use aws_smithy_types::DateTime;

use super::S3Store;
use super::call::Operation;
use super::read::{unquoted, url_decode, version};
use crate::store::{ErrorKind, ObjectVersion, StoreError, VersionMarker, VersionPage, VersionRequest};

const LIST: Operation = Operation::new("list versions", "s3:ListBucketVersions");

pub(super) async fn list(store: &S3Store, request: &VersionRequest) -> Result<VersionPage, StoreError> {
    let after = request.after.as_ref();
    let page = store
        .call(LIST, "", |client| {
            client
                .list_object_versions()
                .bucket(&store.options.bucket)
                .set_expected_bucket_owner(store.owner())
                .encoding_type(EncodingType::Url)
                .set_prefix((!request.prefix.is_empty()).then(|| request.prefix.clone()))
                .set_key_marker(after.map(|after| after.key.clone()))
                .set_version_id_marker(after.and_then(|after| after.version.clone()))
                .send()
        })
        .await?;
    let encoded = page.encoding_type() == Some(&EncodingType::Url);
    let mut page = convert(&page, encoded).ok_or_else(|| {
        StoreError::new(ErrorKind::Other, LIST.verb, &store.url, "the answer holds keys that are not UTF-8")
    })?;
    // moto 5.2.5 begins with old versions of the very key that it is to begin after.
    if let Some(after) = after.filter(|after| after.version.is_none()) {
        page.versions.retain(|version| version.key > after.key);
    }
    Ok(page)
}

fn convert(page: &ListObjectVersionsOutput, encoded: bool) -> Option<VersionPage> {
    let decode = |text: &str| if encoded { url_decode(text) } else { Some(text.to_owned()) };
    let mut versions = Vec::new();
    for told in page.versions() {
        versions.push(ObjectVersion {
            key: decode(told.key()?)?,
            version: version(told.version_id()),
            etag: unquoted(told.e_tag()),
            size: told.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            modified: told.last_modified().map_or(0, DateTime::secs),
            latest: told.is_latest().unwrap_or(false),
            delete_marker: false,
        });
    }
    for told in page.delete_markers() {
        versions.push(ObjectVersion {
            key: decode(told.key()?)?,
            version: version(told.version_id()),
            etag: String::new(),
            size: 0,
            modified: told.last_modified().map_or(0, DateTime::secs),
            latest: told.is_latest().unwrap_or(false),
            delete_marker: true,
        });
    }
    versions.sort_by(|a, b| (&a.key, b.latest, b.modified).cmp(&(&b.key, a.latest, a.modified)));
    let more = page.is_truncated().unwrap_or(false);
    let next = match page.next_key_marker().filter(|_| more) {
        // The token goes back as it came, but for its encoding.
        Some(key) => Some(VersionMarker {
            key: decode(key)?,
            version: page.next_version_id_marker().filter(|v| !v.is_empty()).map(str::to_owned),
        }),
        None => None,
    };
    Some(VersionPage { versions, next })
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion as Told};

    use super::*;

    #[test]
    fn versions_and_markers_are_one_list_newest_first() {
        let told = |key: &str, id: &str, at: i64, latest: bool| {
            let told = Told::builder().key(key).version_id(id).last_modified(DateTime::from_secs(at));
            told.is_latest(latest).e_tag("\"e\"").size(7).build()
        };
        let marker = DeleteMarkerEntry::builder().key("a%2Fb").version_id("m").is_latest(true);
        let page = ListObjectVersionsOutput::builder()
            .versions(told("c", "null", 1, true))
            .versions(told("a%2Fb", "1", 10, false))
            .versions(told("a%2Fb", "2", 20, false))
            .delete_markers(marker.last_modified(DateTime::from_secs(30)).build())
            .is_truncated(true)
            .next_key_marker("c%2B")
            .next_version_id_marker("null")
            .build();
        let page = convert(&page, true).unwrap();
        let seen: Vec<_> = page.versions.iter().map(|v| (v.key.as_str(), v.version.as_deref())).collect();
        assert_eq!(seen, [("a/b", Some("m")), ("a/b", Some("2")), ("a/b", Some("1")), ("c", None)]);
        assert!(page.versions[0].delete_marker && page.versions[0].latest);
        let next = VersionMarker { key: "c+".to_owned(), version: Some("null".to_owned()) };
        assert_eq!(page.next, Some(next));
    }
}
