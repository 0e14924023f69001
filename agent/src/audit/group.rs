//! All chains of one account and region.
//!
//! A trail may have moved from one bucket or folder to another, so the chains are judged together; and a log
//! that no digest names is only told once every chain has been walked. In: the folders. Out: a report per
//! chain, and what concerns none of them: planted files, older versions, listings that failed.

use std::collections::HashSet;

use trailhaul_core::model::Family;
use trailhaul_core::verify::{CADENCE, DigestKey, Previous};

use super::digests::{each_key, is_log_within, list_digests};
use super::folders::Folder;
use super::report::{ChainReport, Problem, Weight};
use super::source::Outlook;
use super::verify::VerifyRequest;
use super::versions::past_versions;
use super::walk::{MAX_NAMED, Shared, Walk, mark, walk_chain};

/// How many log files that no digest names are listed per folder.
const MAX_NOT_COVERED: usize = 1_000;

/// Walks the folders of one account and region. A trail may have moved from one to another of them, so their
/// chains are judged together.
pub(super) async fn walk_group(
    shared: &Shared,
    request: &VerifyRequest,
    folders: &[&Folder],
) -> (Vec<ChainReport>, Vec<Problem>) {
    let (mut walks, mut problems, mut unlisted) = (Vec::new(), Vec::new(), Vec::new());
    for folder in folders {
        let Some(source) = shared.sources.iter().find(|source| source.bucket == folder.bucket) else {
            continue;
        };
        match list_digests(&shared.sources, source, folder, shared.scope.from, shared.scope.until).await {
            Ok(chains) => {
                for (id, keys) in chains {
                    if request.trails.is_empty() || request.trails.contains(&id.trail) {
                        walks.push(walk_chain(shared, source, id, keys).await);
                    }
                }
            }
            Err(error) => {
                unlisted.push(*folder);
                let place = format!("s3://{}/{}", folder.bucket, folder.path(Family::Digest));
                let why = error.to_string();
                problems.push(Problem::object(Weight::Unknown, "folder", "unreadable", place, why));
            }
        }
    }
    // A copying tool loses all signatures or none; where others have theirs, somebody took this one away.
    let signed: HashSet<String> = walks
        .iter()
        .filter(|walk| walk.chain.newest().is_some())
        .map(|walk| walk.source.bucket.clone())
        .collect();
    for walk in &mut walks {
        if !signed.contains(&walk.source.bucket) {
            walk.assume_genuine();
        }
        walk.check_vouched().await;
    }
    let moves = link_moves(&mut walks);
    let mut named = HashSet::new();
    let mut whole = request.trails.is_empty();
    let mut reports = Vec::new();
    for (walk, (moved_at, arrived)) in walks.into_iter().zip(moves) {
        whole &= walk.named.len() < MAX_NAMED;
        named.extend(&walk.named);
        let standing = walk.standing(moved_at).await;
        reports.push(walk.finish(moved_at, arrived, standing));
    }
    for folder in folders.iter().filter(|folder| folder.logs && whole && !unlisted.contains(folder)) {
        let of_folder = reports.iter().filter(|report| report.chain.bucket == folder.bucket);
        let from = of_folder.map(|report| report.surveyed_from).min();
        problems.extend(not_covered(shared, folder, &named, from).await);
    }
    for folder in folders.iter().filter(|folder| !unlisted.contains(folder)) {
        problems.extend(overwritten(shared, folder).await);
    }
    shared.progress.folders(folders.len());
    (reports, problems)
}

/// For each chain: when it went on in another bucket or folder, and whether the digest that it came from is
/// where it should be.
fn link_moves(walks: &mut [Walk<'_>]) -> Vec<(Option<i64>, Option<bool>)> {
    let mut moves = vec![(None, None); walks.len()];
    for to in 0..walks.len() {
        let arrivals: Vec<(i64, Previous)> = walks.get(to).map_or_else(Vec::new, |walk| {
            walk.chain.arrivals().map(|(link, previous)| (link.start, previous.clone())).collect()
        });
        for (start, previous) in arrivals {
            let holds = |walk: &Walk<'_>| {
                let same = walk.chain.oldest().is_some_and(|link| link.place.bucket == previous.place.bucket);
                let name = DigestKey::parse(&previous.place.key).ok();
                name.is_some_and(|name| {
                    let there = name.chain(&walk.report.chain.bucket);
                    let (mine, here) =
                        (&walk.report.chain, walk.report.chain.bucket == previous.place.bucket);
                    (same || here)
                        && (&there.trail, there.kind, &there.home_region)
                            == (&mine.trail, mine.kind, &mine.home_region)
                })
            };
            let Some(from) = (0..walks.len()).find(|at| *at != to && walks.get(*at).is_some_and(holds))
            else {
                continue;
            };
            let attested = walks.get_mut(from).is_some_and(|walk| walk.chain.attest(&previous));
            if let Some((moved_at, _)) = moves.get_mut(from) {
                *moved_at = Some(moved_at.map_or(start, |at: i64| at.max(start)));
            }
            if let Some((_, arrived)) = moves.get_mut(to) {
                *arrived = Some(arrived.unwrap_or(true) && attested);
            }
        }
    }
    moves
}

/// Log files of the range that no proven digest names. That alone accuses nobody: another trail without
/// validation may write to the same place, and validation may have been off.
async fn not_covered(
    shared: &Shared,
    folder: &Folder,
    named: &HashSet<u128>,
    surveyed_from: Option<i64>,
) -> Vec<Problem> {
    let scope = &shared.scope;
    let Some(source) = shared.sources.iter().find(|source| source.bucket == folder.bucket) else {
        return Vec::new();
    };
    // A digest names what was delivered in its hour; the stamp in a log's name may be some minutes off that.
    let digests = surveyed_from.is_some();
    let from = surveyed_from.unwrap_or(scope.from);
    let (from, until) = (from + CADENCE, scope.until.min(scope.now - scope.grace) - CADENCE);
    let (mut problems, mut beyond) = (Vec::new(), 0_u64);
    let listed = each_key(&shared.sources, source, folder, Family::CloudTrail, from, until, |key| {
        if !is_log_within(key, from, until) || named.contains(&mark(key)) {
            return;
        }
        if problems.len() >= MAX_NOT_COVERED || !digests {
            beyond += 1;
            return;
        }
        let object = format!("s3://{}/{key}", folder.bucket);
        let why = "no proven digest names it: planted, or written by a trail without validation";
        problems.push(Problem::object(Weight::Note, "log", "not-covered", object, why));
    });
    let place = format!("s3://{}/{}", folder.bucket, folder.path(Family::CloudTrail));
    if let Err(error) = listed.await {
        problems.push(Problem::object(Weight::Unknown, "folder", "unreadable", place, error.to_string()));
    } else if beyond > 0 {
        let why = format!("{beyond} log files that no proven digest names");
        problems.push(Problem::object(Weight::Note, "folder", "not-covered", place, why));
    }
    problems
}

/// What a versioned bucket remembers of the folder's digests and logs. Copies have no history of their own.
async fn overwritten(shared: &Shared, folder: &Folder) -> Vec<Problem> {
    let scope = &shared.scope;
    let source = shared.sources.iter().find(|source| source.bucket == folder.bucket);
    let Some(source) = source.filter(|source| source.outlook == Outlook::Live) else { return Vec::new() };
    let mut problems = Vec::new();
    for (family, there) in [(Family::Digest, folder.digests), (Family::CloudTrail, folder.logs)] {
        if !there || shared.is_denied(source) {
            continue;
        }
        match past_versions(&shared.sources, source, folder, family, (scope.from, scope.until)).await {
            Ok(found) => problems.extend(found),
            Err(error) => shared.deny(source, &error.to_string()),
        }
    }
    problems
}
