//! Which accounts and regions a bucket holds, found by walking folders.
//!
//! In: a bucket, and the prefixes to look below. Out: one [`Folder`] per account and region, with whether there
//! are digests and whether there are logs. At most [`MAX_FOLDERS`] are taken; `AWSLogs` is looked for
//! [`MAX_DEPTH`] folders deep. Folders that are not CloudTrail's are passed over. Failure: a folder that cannot
//! be listed is named, and the others are walked all the same.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};
use trailhaul_core::model::{AccountId, Family, OrganizationId};

use super::source::{Source, Sources};
use crate::store::{ListRequest, StoreError};

/// How deep `AWSLogs` is looked for: Control Tower's prefix is one folder, people's prefixes a few.
const MAX_DEPTH: usize = 4;

/// Accounts times regions of the largest organizations, with room.
const MAX_FOLDERS: usize = 1_000_000;

/// The most folders whose names are looked at in search of `AWSLogs`.
const MAX_SEARCHED: usize = 10_000;

/// Accounts of a bucket whose regions are listed at once: it hides the latency of listings.
const ACCOUNTS_AT_ONCE: usize = 16;

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

/// What a walk found.
#[derive(Debug, Default)]
pub struct FoundFolders {
    /// Accounts and regions, in order.
    pub folders: Vec<Folder>,
    /// Folders that could not be listed, each with the reason: what is not listed cannot be said to be absent.
    pub unlisted: Vec<(String, String)>,
}

/// An account's folder: `…AWSLogs/[ORGANIZATION/]ACCOUNT/`.
struct AccountFolder {
    before: String,
    organization: Option<OrganizationId>,
    account: AccountId,
    path: String,
}

/// Finds the folders of a bucket below its prefixes, of the accounts that are `wanted`.
pub async fn find_folders(
    sources: &Sources,
    source: &Source,
    wanted: impl Fn(AccountId) -> bool,
) -> FoundFolders {
    let mut finder = Finder { sources, source, found: FoundFolders::default() };
    let mut roots = Vec::new();
    for prefix in &source.prefixes {
        finder.find_roots(prefix, &mut roots).await;
    }
    roots.sort();
    roots.dedup();
    let mut accounts = Vec::new();
    for root in &roots {
        finder.find_accounts(root, &mut accounts).await;
    }
    accounts.retain(|found| wanted(found.account));
    let listings = stream::iter(accounts).map(|found| regions(sources, source, found));
    let mut listings = listings.buffered(ACCOUNTS_AT_ONCE);
    while let Some((mut folders, mut unlisted)) = listings.next().await {
        finder.found.folders.append(&mut folders);
        finder.found.unlisted.append(&mut unlisted);
        if finder.found.folders.len() >= MAX_FOLDERS {
            break;
        }
    }
    drop(listings);
    finder.found
}

struct Finder<'a> {
    sources: &'a Sources,
    source: &'a Source,
    found: FoundFolders,
}

impl Finder<'_> {
    /// Every `…AWSLogs/` below the prefix that is not itself below another.
    async fn find_roots(&mut self, prefix: &str, roots: &mut Vec<String>) {
        let prefix = prefix.trim_end_matches('/');
        let start = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        if start.ends_with("AWSLogs/") {
            roots.push(start);
            return;
        }
        let (mut level, mut searched) = (vec![start], 0);
        for _ in 0..MAX_DEPTH {
            let mut deeper = Vec::new();
            for folder in level {
                for child in self.children(&folder).await {
                    searched += 1;
                    let path = format!("{folder}{child}/");
                    if child == "AWSLogs" { roots.push(path) } else { deeper.push(path) }
                }
                if searched > MAX_SEARCHED {
                    return;
                }
            }
            level = deeper;
        }
    }

    /// The accounts below an `AWSLogs/`, of organizations too.
    async fn find_accounts(&mut self, root: &str, accounts: &mut Vec<AccountFolder>) {
        let before = root.strip_suffix("AWSLogs/").unwrap_or_default();
        let folder = |organization, account, path| AccountFolder {
            before: before.to_owned(),
            organization,
            account,
            path,
        };
        for child in self.children(root).await {
            let path = format!("{root}{child}/");
            if let Ok(account) = child.parse() {
                accounts.push(folder(None, account, path));
            } else if let Ok(organization) = child.parse::<OrganizationId>() {
                for member in self.children(&path).await {
                    if let Ok(account) = member.parse() {
                        let path = format!("{path}{member}/");
                        accounts.push(folder(Some(organization.clone()), account, path));
                    }
                }
            }
        }
    }

    /// The names of the folders directly below a folder; none where they cannot be listed, which is noted.
    async fn children(&mut self, folder: &str) -> Vec<String> {
        match children(self.sources, self.source, folder).await {
            Ok(names) => names,
            Err(error) => {
                self.found.unlisted.push((folder.to_owned(), error.to_string()));
                Vec::new()
            }
        }
    }
}

/// The regions of an account, and the folders of it that could not be listed.
async fn regions(
    sources: &Sources,
    source: &Source,
    found: AccountFolder,
) -> (Vec<Folder>, Vec<(String, String)>) {
    let AccountFolder { before, organization, account, path } = found;
    let mut regions: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let mut unlisted = Vec::new();
    for family in [Family::Digest, Family::CloudTrail] {
        let folder = format!("{path}{}/", family.folder());
        match children(sources, source, &folder).await {
            Ok(names) => {
                for region in names {
                    let (digests, logs) = regions.entry(region).or_default();
                    *if family == Family::Digest { digests } else { logs } = true;
                }
            }
            Err(error) => unlisted.push((folder, error.to_string())),
        }
    }
    let folders = regions.into_iter().map(|(region, (digests, logs))| Folder {
        bucket: source.bucket.clone(),
        prefix: before.clone(),
        organization: organization.clone(),
        account,
        region,
        digests,
        logs,
    });
    (folders.collect(), unlisted)
}

async fn children(sources: &Sources, source: &Source, folder: &str) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let mut request = ListRequest { prefix: folder.to_owned(), delimiter: true, ..Default::default() };
    loop {
        let page = sources.list(source, &request).await?;
        let name = |path: &String| path.strip_prefix(folder)?.strip_suffix('/').map(str::to_owned);
        names.extend(page.prefixes.iter().filter_map(name));
        if page.next.is_none() || names.len() >= MAX_FOLDERS {
            return Ok(names);
        }
        request.continuation = page.next;
    }
}
