//! Copies that arrive 6, 8 and 25 days after their events, under a simulated clock: what is within the window is
//! delivered once, what is beyond it again, and expiring what is out of the window changes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod tree;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use trailhaul::config::Config;
use trailhaul::haul::{Ended, RunOptions, run};
use trailhaul::ledger::{Ledger, LedgerOptions};
use trailhaul::runtime::{ManualClock, Shutdown};
use trailhaul_core::model::{Entry, EntryBody};
use trailhaul_tests::config_yaml::{ConfigOptions, config_yaml};
use trailhaul_tests::org::Options;
use trailhaul_tests::replay::Replay;
use trailhaul_tests::{compare, delivery, model, truth};
use tree::files;

const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_days_apart_arrive_as_often_as_the_window_says() {
    let seed = 31;
    println!("seed {seed}");
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (finished, live) = (folder.path().join("finished"), folder.path().join("live"));
    let options = Options {
        seed,
        accounts: 4,
        regions: 2,
        hours: 3,
        rate: 400,
        far_copies: true,
        ..Options::default()
    };
    fs::create_dir_all(&finished).unwrap();
    let (organization, tree) = delivery::simulate(&finished, &options).unwrap();
    tree.finish().unwrap();
    let truth = truth::read(&finished.join("truth.ndjson")).unwrap();
    let config_options = ConfigOptions { root: &live, integrity: "off", memory: None, public_keys: &[] };
    let yaml = config_yaml(&organization, &config_options);
    fs::create_dir_all(&live).unwrap();
    fs::write(live.join("trailhaul.yaml"), yaml).unwrap();
    let config = Config::load_with(&live.join("trailhaul.yaml"), &|_| None, &[]).unwrap();

    let mut replay = Replay::new(&finished, &truth, &live).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(options.start).unwrap()));
    let (mut steps, mut expired) = (0, 0);
    while let Some(next) = replay.next_at() {
        // Listed every six hours while something comes.
        let now = next + 6 * HOUR;
        replay.advance(now).unwrap();
        clock.set(Timestamp::from_second(now).unwrap());
        let shutdown = Shutdown::new(Duration::from_secs(20));
        let once = RunOptions { once: true, ..RunOptions::default() };
        let summary =
            run(&config, once, Arc::clone(&clock) as Arc<_>, shutdown, &Arc::default()).await.unwrap();
        assert_eq!(summary.ended, Ended::Well, "{summary}");
        steps += 1;
        expired += expire(&live, now);
    }
    let committed = commits(&live);
    println!("{steps} steps, {} objects committed, {expired} segments expired by hand", committed.len());
    assert_eq!(
        committed.len(),
        truth.objects.iter().filter(|object| object.count() > 0 || is_log(object)).count()
    );
    let at = |object: &truth::Object| committed.get(&(object.bucket.clone(), object.key.clone())).copied();
    let expected = model::expected(&truth, at, model::WINDOW);
    let at_once = model::expected_at_once(&truth, model::WINDOW);
    println!("{} delivered, {} if all came at once", expected.count(), at_once.count());
    assert!(expected.count() > at_once.count(), "no copy came after its window");
    assert!(expected.duplicates > 0);
    let differences = compare::compare(&truth, &expected, &live.join("archive")).unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    distances(&truth, &committed);
}

fn is_log(object: &truth::Object) -> bool {
    object.damage.is_none()
}

/// Drops the ids that are out of the window, as a continuous run does.
fn expire(live: &Path, now: i64) -> u64 {
    let options = LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None };
    let ledger = Ledger::open(&live.join("state"), &options).unwrap();
    ledger.expire_ids(now - model::WINDOW - 1).unwrap()
}

/// When each object was committed, by the journal; to the second, as the window counts.
fn commits(live: &Path) -> HashMap<(String, String), i64> {
    let mut commits = HashMap::new();
    for path in files(&live.join("archive/journal")) {
        let Ok(entry) = Entry::from_bytes(&fs::read(&path).unwrap()) else { continue };
        let EntryBody::Batch(batch) = entry.body else { continue };
        for object in batch.objects {
            let bucket = object.object.bucket.rsplit('/').next().unwrap().to_owned();
            let old = commits.insert((bucket, object.object.key), entry.at.as_second());
            assert!(old.is_none(), "an object was committed twice");
        }
    }
    commits
}

/// Copies of one content that were committed 6, 8 and 25 days apart are really there.
fn distances(truth: &truth::Truth, committed: &HashMap<(String, String), i64>) {
    let mut first: HashMap<u64, i64> = HashMap::new();
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    let mut objects: Vec<(i64, &truth::Object)> = truth
        .objects
        .iter()
        .filter_map(|object| Some((*committed.get(&(object.bucket.clone(), object.key.clone()))?, object)))
        .collect();
    objects.sort_by_key(|(at, _)| *at);
    for (at, object) in objects {
        for run in &object.records {
            let apart = at - *first.entry(run.content()).or_insert(at);
            *days.entry((apart + 43_200) / 86_400).or_default() += 1;
        }
    }
    println!("copies by days after the first: {days:?}");
    for day in [6, 8, 25] {
        assert!(days.contains_key(&day), "no copy {day} days later: {days:?}");
    }
}
