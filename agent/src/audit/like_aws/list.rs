//! The digest keys of a range, chosen as that command chooses them.
//!
//! Its filter is loose: any text may follow the home region, so that trail `foo` of `us-east-1` also takes
//! the digests of a trail `foo_us-east-1_x`. The stamp is read by its place from the end and compared as text.

use trailhaul_core::verify::CADENCE;

use super::run::LikeAws;
use crate::audit::{Source, Sources};
use crate::store::{ListRequest, StoreError};

/// The most keys that are kept: a trail's hours in ten years, twice.
const MAX_KEYS: usize = 200_000;

/// Standard and backfill keys of a range, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    pub(super) standard: Vec<String>,
    pub(super) backfill: Vec<String>,
}

/// Lists the digest keys between `from` and an hour after `until`.
pub(super) async fn list(
    sources: &Sources,
    source: &Source,
    ask: &LikeAws,
    from: i64,
    until: i64,
) -> Result<Keys, StoreError> {
    let mut keys = Keys::default();
    let LikeAws { account, region, .. } = ask;
    let folder =
        format!("{}AWSLogs/{}{account}/CloudTrail-Digest/{region}", ask.prefix(), ask.organization());
    let stem = format!("{account}_CloudTrail-Digest_{region}_{}_{}_", ask.trail(), ask.home_region());
    let marker = format!("{folder}/{}/{stem}{}.json.gz", stamp(from - 60, "%Y/%m/%d"), stamp_of(from - 60));
    let (first, last) = (stamp_of(from), stamp_of(until + CADENCE));
    let mut request = ListRequest { prefix: folder.clone(), start_after: Some(marker), ..Default::default() };
    loop {
        let page = sources.list(source, &request).await?;
        for object in page.objects {
            if !matches(&object.key, &folder, &stem) || keys.standard.len() + keys.backfill.len() >= MAX_KEYS
            {
                continue;
            }
            let stamp = key_stamp(&object.key).unwrap_or_default();
            if stamp > last.as_str() {
                return Ok(keys);
            }
            if stamp < first.as_str() {
                continue;
            }
            let list = if is_backfill(&object.key) { &mut keys.backfill } else { &mut keys.standard };
            list.push(object.key);
        }
        if page.next.is_none() {
            return Ok(keys);
        }
        request.continuation = page.next;
    }
}

/// `FOLDER/digits/digits/digits/STEM.+[_backfill].json.gz`.
fn matches(key: &str, folder: &str, stem: &str) -> bool {
    let parts = || {
        let rest = key.strip_prefix(folder)?.strip_prefix('/')?;
        let mut parts = rest.splitn(4, '/');
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        for _ in 0..3 {
            parts.next().filter(|part| digits(part))?;
        }
        let middle = parts.next()?.strip_prefix(stem)?.strip_suffix(".json.gz")?;
        Some(!middle.is_empty())
    };
    parts().unwrap_or(false)
}

pub(super) fn is_backfill(key: &str) -> bool {
    key.ends_with("_backfill.json.gz")
}

/// The sixteen characters where the stamp should be.
pub(super) fn key_stamp(key: &str) -> Option<&str> {
    let end = key.len().checked_sub(if is_backfill(key) { 17 } else { 8 })?;
    key.get(end.checked_sub(16)?..end)
}

fn stamp_of(seconds: i64) -> String {
    stamp(seconds, "%Y%m%dT%H%M%SZ")
}

fn stamp(seconds: i64, format: &str) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).strftime(format).to_string()
}
