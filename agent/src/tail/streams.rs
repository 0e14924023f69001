//! Which streams there are: a walk over the folders of a bucket.
//!
//! ```text
//! [prefix/]AWSLogs/ ─► [o-ORGID/] ─► account/ ─► family/ ─► region/
//! ```
//!
//! In: a trail's bucket, its prefix and what it may carry. Out: the streams, and as data: accounts and
//! organizations that the bucket may not carry (findings, never input), folders of unknown families (counted
//! and left), and prefixes that could not be listed (the rest of the walk goes on).
//!
//! Bounded: [`AT_ONCE`] requests in flight or waiting for a place among the pages of all tails, [`MAX_STREAMS`] streams, [`MAX_REPORTED`] of each kind of report
//! (what is beyond is counted). Folder names come from outside: what is no account, organization or region
//! is counted like an unknown family.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::{AccountId, Family, OrganizationId, StreamKey};

use super::pages::{Pages, Place, Slowness};
use crate::runtime::RetryPolicy;
use crate::store::{ListPage, ListRequest, ObjectStore, StoreError};

/// Folders that are listed at the same time.
const AT_ONCE: usize = 16;
/// The most streams of one trail: 10,000 accounts of 25 streams each.
pub const MAX_STREAMS: usize = 250_000;
/// The most findings, unknown folders and failures that are kept one by one.
pub const MAX_REPORTED: usize = 1_000;

/// A bucket that trails write to.
#[derive(Debug, Clone)]
pub struct TrailBucket {
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The trail's `S3KeyPrefix`: what stands before `AWSLogs`, without slashes at its ends; empty for none.
    pub prefix: String,
    /// Whose logs may lie there.
    pub carries: Carries,
}

/// Whose logs a bucket may carry.
#[derive(Debug, Clone, Default)]
pub struct Carries {
    /// The organization whose folder counts; `None` where none is pinned.
    pub organization: Option<OrganizationId>,
    /// The accounts; `None` where all of them are welcome (which account those are is then not checked).
    pub accounts: Option<Arc<BTreeSet<AccountId>>>,
    /// Only what lies below the organization's folder counts: a bucket that speaks for an organization, not for
    /// whoever has a folder in it.
    pub below_organization: bool,
}

impl Carries {
    /// Whether the bucket may carry this account below this organization's folder (`None`: below none).
    pub fn admits(&self, organization: Option<&OrganizationId>, account: AccountId) -> bool {
        let place = match organization {
            Some(organization) => self.admits_organization(organization),
            None => !self.below_organization,
        };
        place && self.admits_account(account)
    }

    fn admits_organization(&self, found: &OrganizationId) -> bool {
        self.organization.as_ref().is_none_or(|pinned| pinned == found)
    }

    fn admits_account(&self, found: AccountId) -> bool {
        self.accounts.as_ref().is_none_or(|accounts| accounts.contains(&found))
    }
}

/// What a walk has shown.
#[derive(Debug, Default)]
pub struct Walk {
    /// The streams, in order.
    pub streams: Vec<StreamKey>,
    /// What the bucket holds and may not carry.
    pub findings: Vec<ForeignFolder>,
    /// How many findings there were, those beyond [`MAX_REPORTED`] included.
    pub findings_total: u64,
    /// Folders that are not CloudTrail's, by name, with how often they were met.
    pub unknown: BTreeMap<String, u64>,
    /// What could not be listed.
    pub failures: Vec<FailedPrefix>,
    /// How many failures there were, those beyond [`MAX_REPORTED`] included.
    pub failures_total: u64,
    /// There were more than [`MAX_STREAMS`] streams; those that sort last are not there.
    pub is_cut: bool,
}

/// A folder of somebody whose logs do not belong into this bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignFolder {
    /// An account that is not among those that the bucket may carry.
    Account {
        /// Whose folder it says it is.
        account: AccountId,
        /// The folder.
        prefix: String,
    },
    /// Another organization than the pinned one.
    Organization {
        /// Whose folder it says it is.
        organization: OrganizationId,
        /// The folder.
        prefix: String,
    },
}

/// A prefix that could not be listed; its streams are not known.
#[derive(Debug)]
pub struct FailedPrefix {
    /// The prefix.
    pub prefix: String,
    /// Why.
    pub error: StoreError,
}

/// How pages of a bucket are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lister<'a> {
    pub(super) store: &'a dyn ObjectStore,
    pub(super) pages: &'a Pages,
    pub(super) slowness: &'a Slowness,
    pub(super) retry: &'a RetryPolicy,
    pub(super) cancel: &'a CancellationToken,
}

impl Lister<'_> {
    /// A page, with its place among those of all tails.
    pub(super) async fn page(&self, request: &ListRequest) -> Result<(ListPage, Place), StoreError> {
        self.pages.list(self.store, request, self.slowness, self.retry, self.cancel).await
    }
}

/// Walks a bucket's folders. What fails for good is in [`Walk::failures`], and the rest is walked all the same.
pub(super) async fn walk(bucket: &TrailBucket, lister: &Lister<'_>) -> Walk {
    let mut walker = Walker { bucket, lister, walk: Walk::default() };
    let accounts = walker.accounts().await;
    let families = walker.families(accounts).await;
    walker.regions(families).await;
    walker.walk
}

struct Walker<'a> {
    bucket: &'a TrailBucket,
    lister: &'a Lister<'a>,
    walk: Walk,
}

/// A folder on the way to a stream, with what is known of it so far.
struct Folder<T> {
    prefix: String,
    of: T,
}

impl Walker<'_> {
    /// The account folders: those below `AWSLogs/`, and below each organization's folder in it.
    async fn accounts(&mut self) -> Vec<Folder<AccountId>> {
        let prefix = self.bucket.prefix.trim_matches('/');
        let root = if prefix.is_empty() { "AWSLogs/".to_owned() } else { format!("{prefix}/AWSLogs/") };
        let (mut accounts, mut organizations) = (Vec::new(), Vec::new());
        for Folder { prefix, .. } in self.below(vec![Folder { prefix: root, of: () }]).await {
            let name = last_name(&prefix);
            if let Ok(account) = name.parse() {
                if self.bucket.carries.below_organization {
                    self.report(ForeignFolder::Account { account, prefix });
                } else {
                    self.admit_account(account, prefix, &mut accounts);
                }
            } else if let Ok(organization) = name.parse::<OrganizationId>() {
                if self.bucket.carries.admits_organization(&organization) {
                    organizations.push(Folder { prefix, of: () });
                } else {
                    self.report(ForeignFolder::Organization { organization, prefix });
                }
            } else {
                self.unknown(&prefix);
            }
        }
        for Folder { prefix, .. } in self.below(organizations).await {
            match last_name(&prefix).parse() {
                Ok(account) => self.admit_account(account, prefix, &mut accounts),
                Err(_) => self.unknown(&prefix),
            }
        }
        accounts
    }

    async fn families(&mut self, accounts: Vec<Folder<AccountId>>) -> Vec<Folder<(AccountId, Family)>> {
        let mut families = Vec::new();
        for Folder { prefix, of: account } in self.below(accounts).await {
            match Family::from_folder(last_name(&prefix)) {
                Some(family) => families.push(Folder { prefix, of: (account, family) }),
                None => self.unknown(&prefix),
            }
        }
        families
    }

    async fn regions(&mut self, families: Vec<Folder<(AccountId, Family)>>) {
        let bucket: Arc<str> = self.bucket.store.url().into();
        for Folder { prefix, of: (account, family) } in self.below(families).await {
            let region = last_name(&prefix).to_owned();
            let is_region = !region.is_empty()
                && region.len() <= 40
                && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !is_region {
                self.unknown(&prefix);
                continue;
            }
            self.walk.streams.push(StreamKey {
                bucket: Arc::clone(&bucket),
                prefix,
                account,
                family,
                region,
            });
        }
        self.walk.streams.sort();
    }

    /// The folders right below these, each with what its parent was known to be. In no order.
    async fn below<T: Copy + Send>(&mut self, folders: Vec<Folder<T>>) -> Vec<Folder<T>> {
        let lister = self.lister;
        let mut listings = stream::iter(folders)
            .map(|folder| async move { (folder.of, subfolders(lister, &folder.prefix).await) })
            .buffer_unordered(AT_ONCE);
        let mut found = Vec::new();
        while let Some((of, (prefixes, failure))) = listings.next().await {
            found.extend(prefixes.into_iter().map(|prefix| Folder { prefix, of }));
            if found.len() > MAX_STREAMS {
                found.truncate(MAX_STREAMS);
                self.walk.is_cut = true;
            }
            if let Some(failure) = failure {
                self.walk.failures_total += 1;
                if self.walk.failures.len() < MAX_REPORTED {
                    self.walk.failures.push(failure);
                }
            }
        }
        found
    }

    fn admit_account(&mut self, account: AccountId, prefix: String, accounts: &mut Vec<Folder<AccountId>>) {
        if self.bucket.carries.admits_account(account) {
            accounts.push(Folder { prefix, of: account });
        } else {
            self.report(ForeignFolder::Account { account, prefix });
        }
    }

    fn report(&mut self, finding: ForeignFolder) {
        self.walk.findings_total += 1;
        if self.walk.findings.len() < MAX_REPORTED {
            self.walk.findings.push(finding);
        }
    }

    fn unknown(&mut self, prefix: &str) {
        let name: String = last_name(prefix).chars().take(80).collect();
        if self.walk.unknown.len() < MAX_REPORTED || self.walk.unknown.contains_key(&name) {
            *self.walk.unknown.entry(name).or_default() += 1;
        }
    }
}

/// The prefixes right below one, as far as they could be listed.
async fn subfolders(lister: &Lister<'_>, prefix: &str) -> (Vec<String>, Option<FailedPrefix>) {
    let mut found = Vec::new();
    let mut request = ListRequest { prefix: prefix.to_owned(), delimiter: true, ..ListRequest::default() };
    loop {
        match lister.page(&request).await {
            Ok((page, _place)) => {
                found.extend(page.prefixes);
                request.continuation = page.next;
            }
            Err(error) => {
                let failure = FailedPrefix { prefix: prefix.to_owned(), error };
                return (found, Some(failure));
            }
        }
        if request.continuation.is_none() || found.len() > MAX_STREAMS {
            return (found, None);
        }
    }
}

/// The last component of a prefix that ends in a slash.
fn last_name(prefix: &str) -> &str {
    let folder = prefix.strip_suffix('/').unwrap_or(prefix);
    folder.rsplit('/').next().unwrap_or(folder)
}
