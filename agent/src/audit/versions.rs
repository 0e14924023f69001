//! What versioned buckets remember of overwritten and deleted objects.
//!
//! CloudTrail writes each object once. So an older version below a log or a digest, or a delete marker, says
//! that somebody wrote or deleted there, also where what stands there now is in order. An older version with
//! the same ETag holds the same bytes: a note. In: a folder of a live bucket and a range of time. Out: problems
//! that name the versions, so that the original can be fetched. Stores without versions have none. At most
//! [`MAX_KEYS`] objects are named per folder; the rest is counted.

use trailhaul_core::model::Family;
use trailhaul_core::verify::DigestKey;

use super::digests::{day, is_log_within};
use super::folders::Folder;
use super::report::{Problem, Weight, time};
use super::source::{Source, Sources};
use crate::store::{ObjectVersion, StoreError, VersionMarker, VersionRequest};

/// Objects with older versions that are named one by one.
const MAX_KEYS: usize = 1_000;

/// The versions of one object that a message names.
const MAX_NAMED: usize = 5;

/// The most versions of one object that are looked at.
const MAX_VERSIONS: usize = 1_000;

/// Problems of the objects of a family that were stamped within `from..until`.
pub(super) async fn past_versions(
    sources: &Sources,
    source: &Source,
    folder: &Folder,
    family: Family,
    (from, until): (i64, i64),
) -> Result<Vec<Problem>, StoreError> {
    let path = folder.path(family);
    let end = format!("{path}{}/\u{10ffff}", day(until));
    let after = VersionMarker { key: format!("{path}{}/", day(from)), version: None };
    let mut request = VersionRequest { prefix: path, after: Some(after) };
    let mut found = Found { bucket: &folder.bucket, problems: Vec::new(), beyond: 0 };
    let mut group: Vec<ObjectVersion> = Vec::new();
    'pages: loop {
        let page = sources.list_versions(source, &request).await?;
        for version in page.versions {
            if version.key > end {
                break 'pages;
            }
            if !within(&version.key, family, from, until) {
                continue;
            }
            if group.first().is_some_and(|first| first.key != version.key) {
                found.judge(&std::mem::take(&mut group));
            }
            if group.len() < MAX_VERSIONS {
                group.push(version);
            }
        }
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    found.judge(&group);
    Ok(found.finish(&request.prefix))
}

fn within(key: &str, family: Family, from: i64, until: i64) -> bool {
    match family {
        Family::Digest => DigestKey::parse(key).is_ok_and(|name| from < name.end && name.end <= until),
        _ => is_log_within(key, from, until),
    }
}

struct Found<'a> {
    bucket: &'a str,
    problems: Vec<Problem>,
    beyond: u64,
}

impl Found<'_> {
    /// Judges all versions of one key.
    fn judge(&mut self, versions: &[ObjectVersion]) {
        let Some(first) = versions.first().filter(|_| versions.len() > 1 || is_marker(versions)) else {
            return;
        };
        if self.problems.len() >= MAX_KEYS {
            self.beyond += 1;
            return;
        }
        let written: Vec<_> = versions.iter().filter(|version| !version.delete_marker).collect();
        let same = written.windows(2).all(|pair| matches!(pair, [a, b] if a.etag == b.etag));
        let deleted = versions.iter().any(|version| version.delete_marker);
        let (weight, outcome, what) = match (first.delete_marker, deleted, same) {
            (true, _, _) => (Weight::Finding, "deleted", "it was deleted; older versions are still there"),
            (false, true, _) => (Weight::Finding, "overwritten", "it was deleted and written again"),
            (false, false, true) => (Weight::Note, "rewritten", "it was written again with the same bytes"),
            (false, false, false) => (Weight::Finding, "overwritten", "it was written over"),
        };
        let named: Vec<String> = versions.iter().skip(1).take(MAX_NAMED).map(describe).collect();
        let more = versions.len().saturating_sub(1 + named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
        let message = format!("{what} at {}; older versions: {named}{more}", time(first.modified));
        let object = format!("s3://{}/{}", self.bucket, first.key);
        self.problems.push(Problem::object(weight, "version", outcome, object, message));
    }

    fn finish(mut self, path: &str) -> Vec<Problem> {
        if self.beyond > 0 {
            let object = format!("s3://{}/{path}", self.bucket);
            let message = format!("{} more objects have older versions or were deleted", self.beyond);
            self.problems.push(Problem::object(Weight::Finding, "version", "overwritten", object, message));
        }
        self.problems
    }
}

fn is_marker(versions: &[ObjectVersion]) -> bool {
    versions.iter().any(|version| version.delete_marker)
}

fn describe(version: &ObjectVersion) -> String {
    let id = version.version.as_deref().unwrap_or("null");
    let kind = if version.delete_marker { "delete marker " } else { "" };
    format!("{kind}{id} of {}", time(version.modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str, etag: &str, modified: i64, delete_marker: bool) -> ObjectVersion {
        let (key, version) = ("k".to_owned(), Some(id.to_owned()));
        ObjectVersion { key, version, etag: etag.to_owned(), size: 1, modified, latest: false, delete_marker }
    }

    #[test]
    fn each_history_has_its_name() {
        let (old, new) = (version("1", "a", 10, false), version("2", "b", 20, false));
        let (again, marker) = (version("3", "a", 30, false), version("4", "", 40, true));
        for (history, expected) in [
            (vec![old.clone()], None),
            (vec![new.clone(), old.clone()], Some((Weight::Finding, "overwritten"))),
            (vec![again.clone(), old.clone()], Some((Weight::Note, "rewritten"))),
            (vec![marker.clone(), old.clone()], Some((Weight::Finding, "deleted"))),
            (vec![marker.clone()], Some((Weight::Finding, "deleted"))),
            (vec![again, marker, old.clone()], Some((Weight::Finding, "overwritten"))),
        ] {
            let mut found = Found { bucket: "b", problems: Vec::new(), beyond: 0 };
            found.judge(&history);
            let said = found.problems.first().map(|problem| (problem.weight, problem.outcome));
            assert_eq!(said, expected, "{history:?}");
        }
        let mut found = Found { bucket: "b", problems: Vec::new(), beyond: 0 };
        found.judge(&[new, old]);
        let message = &found.problems[0].message;
        let expected =
            "it was written over at 1970-01-01T00:00:20Z; older versions: 1 of 1970-01-01T00:00:10Z";
        assert_eq!(message, expected);
    }
}
