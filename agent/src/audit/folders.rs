//! Which accounts and regions a bucket holds, found by walking folders.
//!
//! In: a bucket, and the prefix to look below. Out: one [`Folder`] per account and region, with whether there
//! are digests and whether there are logs. At most [`MAX_FOLDERS`] are taken; `AWSLogs` is looked for
//! [`MAX_DEPTH`] folders deep. Folders that are not CloudTrail's are passed over.

use std::collections::BTreeMap;

use trailhaul_core::model::{AccountId, Family, OrganizationId};

use super::source::Source;
use crate::store::{ListRequest, ObjectStore, StoreError};

/// How deep `AWSLogs` is looked for: Control Tower's prefix is one folder, people's prefixes a few.
const MAX_DEPTH: usize = 4;

/// Accounts times regions of the largest organizations, with room.
const MAX_FOLDERS: usize = 1_000_000;

/// The most folders whose names are looked at in search of `AWSLogs`.
const MAX_SEARCHED: usize = 10_000;

/// What one account and region has in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folder {
    /// The bucket's name.
    pub bucket: String,
    /// What stands before `AWSLogs`, with its slash; empty for none.
    pub prefix: String,
    /// The organization in the path.
    pub organization: Option<OrganizationId>,
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: String,
    /// Whether there is a folder of digests.
    pub digests: bool,
    /// Whether there is a folder of log files that digests cover.
    pub logs: bool,
}

impl Folder {
    /// The folder of a family, ending in a slash: day folders hang below it.
    pub fn path(&self, family: Family) -> String {
        let Self { prefix, account, region, .. } = self;
        let organization = self.organization.as_ref().map_or(String::new(), |id| format!("{id}/"));
        format!("{prefix}AWSLogs/{organization}{account}/{}/{region}/", family.folder())
    }
}

/// Finds the folders of a bucket below `prefix` (with or without a slash at its end).
///
/// # Errors
/// When a listing fails: what is not listed cannot be said to be absent.
pub async fn find_folders(source: &Source, prefix: &str) -> Result<Vec<Folder>, StoreError> {
    let store = &*source.store;
    let mut folders = Vec::new();
    for root in find_roots(store, prefix).await? {
        let before = root.strip_suffix("AWSLogs/").unwrap_or_default();
        for (organization, account, path) in accounts(store, &root).await? {
            let mut regions: BTreeMap<String, (bool, bool)> = BTreeMap::new();
            for family in [Family::Digest, Family::CloudTrail] {
                for region in children(store, &format!("{path}{}/", family.folder())).await? {
                    let (digests, logs) = regions.entry(region).or_default();
                    *if family == Family::Digest { digests } else { logs } = true;
                }
            }
            for (region, (digests, logs)) in regions {
                let (prefix, organization) = (before.to_owned(), organization.clone());
                let bucket = source.bucket.clone();
                folders.push(Folder { bucket, prefix, organization, account, region, digests, logs });
            }
            if folders.len() >= MAX_FOLDERS {
                return Ok(folders);
            }
        }
    }
    Ok(folders)
}

/// Every `…AWSLogs/` below the prefix that is not itself below another.
async fn find_roots(store: &dyn ObjectStore, prefix: &str) -> Result<Vec<String>, StoreError> {
    let prefix = prefix.trim_end_matches('/');
    let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    if start.ends_with("AWSLogs/") {
        return Ok(vec![start]);
    }
    let (mut roots, mut level, mut searched) = (Vec::new(), vec![start], 0);
    for _ in 0..MAX_DEPTH {
        let mut deeper = Vec::new();
        for folder in level {
            for child in children(store, &folder).await? {
                searched += 1;
                let path = format!("{folder}{child}/");
                if child == "AWSLogs" { roots.push(path) } else { deeper.push(path) }
            }
            if searched > MAX_SEARCHED {
                return Ok(roots);
            }
        }
        level = deeper;
    }
    Ok(roots)
}

/// The accounts below an `AWSLogs/`, of organizations too, each with its path.
async fn accounts(
    store: &dyn ObjectStore,
    root: &str,
) -> Result<Vec<(Option<OrganizationId>, AccountId, String)>, StoreError> {
    let mut found = Vec::new();
    for child in children(store, root).await? {
        if let Ok(account) = child.parse() {
            found.push((None, account, format!("{root}{child}/")));
        } else if let Ok(organization) = child.parse::<OrganizationId>() {
            for member in children(store, &format!("{root}{child}/")).await? {
                if let Ok(account) = member.parse() {
                    found.push((Some(organization.clone()), account, format!("{root}{child}/{member}/")));
                }
            }
        }
    }
    Ok(found)
}

/// The names of the folders directly below a folder.
async fn children(store: &dyn ObjectStore, folder: &str) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let mut request = ListRequest { prefix: folder.to_owned(), delimiter: true, ..Default::default() };
    loop {
        let page = store.list(&request).await?;
        let name = |path: &String| path.strip_prefix(folder)?.strip_suffix('/').map(str::to_owned);
        names.extend(page.prefixes.iter().filter_map(name));
        if page.next.is_none() || names.len() >= MAX_FOLDERS {
            return Ok(names);
        }
        request.continuation = page.next;
    }
}
