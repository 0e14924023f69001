//! The keys of one folder in a range of time: digests by chain, log files by name.

use std::collections::BTreeMap;

use trailhaul_core::model::{Family, LogKey};
use trailhaul_core::verify::{CADENCE, ChainId, DigestKey};

use super::folders::Folder;
use super::source::{Source, Sources};
use crate::store::{ListRequest, StoreError};

/// The digests of a folder's chains, in the order of their hours.
pub(super) type Chains = BTreeMap<ChainId, Vec<String>>;

/// Lists the digests whose hour overlaps `from..until`, and those of the hour after, which vouch for them.
pub(super) async fn list_digests(
    sources: &Sources,
    source: &Source,
    folder: &Folder,
    from: i64,
    until: i64,
) -> Result<Chains, StoreError> {
    let mut chains = Chains::new();
    each_key(sources, source, folder, Family::Digest, from, until + CADENCE, |key| {
        let Ok(name) = DigestKey::parse(key) else { return };
        if from < name.end && name.end <= until + CADENCE {
            chains.entry(name.chain(&folder.bucket)).or_default().push(key.to_owned());
        }
    })
    .await?;
    Ok(chains)
}

/// Calls `visit` with every key of the family's day folders from `from` to `until`.
pub(super) async fn each_key(
    sources: &Sources,
    source: &Source,
    folder: &Folder,
    family: Family,
    from: i64,
    until: i64,
    mut visit: impl FnMut(&str),
) -> Result<(), StoreError> {
    let path = folder.path(family);
    let first = format!("{path}{}/", day(from));
    // The highest character after the last day's slash: every key of that day sorts before it.
    let end = format!("{path}{}/\u{10ffff}", day(until));
    let mut request = ListRequest { prefix: path, start_after: Some(first), ..Default::default() };
    loop {
        let page = sources.list(source, &request).await?;
        for object in &page.objects {
            if object.key > end {
                return Ok(());
            }
            visit(&object.key);
        }
        if page.next.is_none() {
            return Ok(());
        }
        request.continuation = page.next;
    }
}

/// Whether a key is a log file stamped within `from..until`.
pub(super) fn is_log_within(key: &str, from: i64, until: i64) -> bool {
    LogKey::parse(key).is_ok_and(|name| (from..until).contains(&name.stamp.unix_seconds()))
}

/// The day folder of a time: `YYYY/MM/DD`.
pub(super) fn day(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y/%m/%d").to_string()
}
