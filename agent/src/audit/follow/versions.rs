//! Noncurrent versions of log files, on buckets that keep them.
//!
//! In: a key that is missing, or whose content is wrong. Out: what stood there before, and which of it is what the
//! digest names. Asked only of what is accused; a bucket without versioning has nothing to tell, and one that may not
//! be asked is told once.

use trailhaul_core::model::ObjectRef;
use trailhaul_core::verify::LogOutcome;

use super::verdicts::read_again;
use super::{Ground, Shared};
use crate::ledger::Expected;
use crate::store::{ObjectVersion, VersionRequest};

/// Versions that are named.
const MAX_NAMED: usize = 10;

/// The versions of an object that are not current, the newest first; delete markers are left out.
pub(super) async fn noncurrent(shared: &Shared, ground: &Ground, key: &str) -> Vec<ObjectVersion> {
    let request = VersionRequest { prefix: key.to_owned(), after: None };
    let means = &shared.means;
    match means.retry.run(&means.stop, || ground.store.list_versions(&request)).await {
        Ok(page) => {
            let older =
                |version: &ObjectVersion| version.key == key && !version.latest && !version.delete_marker;
            page.versions.into_iter().filter(older).take(MAX_NAMED).collect()
        }
        Err(gave_up) => {
            if shared.told.first(&("versions", &*ground.url)) {
                tracing::warn!(bucket = &*ground.url, error = %gave_up.error, "cannot ask for older versions");
            }
            Vec::new()
        }
    }
}

/// The newest older version with the content that a digest names. What was deleted may have been overwritten before.
pub(super) async fn original(
    shared: &Shared,
    object: &ObjectRef,
    expected: &Expected,
    older: &[ObjectVersion],
) -> Option<ObjectRef> {
    for version in older {
        let version = at(object, version);
        if read_again(shared, &version, expected).await == LogOutcome::Valid {
            return Some(version);
        }
    }
    None
}

/// An object as it was in this version.
pub(super) fn at(object: &ObjectRef, version: &ObjectVersion) -> ObjectRef {
    ObjectRef {
        version: Some(version.id().to_owned()),
        etag: version.etag.clone(),
        size: version.size,
        ..object.clone()
    }
}
