//! Noncurrent versions of log files, on buckets that keep them.
//!
//! In: a key that is missing, or whose content is wrong. Out: what stood there before. Asked only of what is
//! accused; a bucket without versioning has nothing to tell, and one that may not be asked is told once.

use super::{Ground, Shared};
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
