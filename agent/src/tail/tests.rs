//! Tails over buckets in memory: whole passes, weeks of simulated time, and buckets that misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trailhaul_core::model::{AccountId, Family, StreamKey};
use trailhaul_core::plan::{Day, DayPlan, Standing, Start};

use super::pages::Slowness;
use super::streams::{Lister, walk};
use super::*;
use crate::runtime::{Clock, RetryPolicy};
use crate::store::{Faults, FaultyStore, MemoryStore, ObjectStore, PutOptions, Steps};

const NOW: i64 = 1_700_000_000;
const DAY: i64 = 86_400;
const ONE: &str = "111122223333";
const TWO: &str = "444455556666";

/// The clock of the simulated runtime, which jumps ahead while everybody waits.
#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.elapsed().as_secs()).unwrap();
        Timestamp::from_second(NOW + elapsed).unwrap()
    }
}

/// Takes everything, up to a number of objects per account.
#[derive(Debug, Default)]
struct Taker {
    taken: Mutex<Vec<(String, Standing, i64)>>,
    room: Mutex<BTreeMap<AccountId, usize>>,
}

impl Taker {
    fn keys(&self) -> BTreeSet<String> {
        self.taken.lock().unwrap().iter().map(|(key, _, _)| key.clone()).collect()
    }

    fn len(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    fn allow(&self, account: &str, room: usize) {
        self.room.lock().unwrap().insert(account.parse().unwrap(), room);
    }
}

impl Intake for Taker {
    fn room(&self, account: AccountId) -> usize {
        self.room.lock().unwrap().get(&account).copied().unwrap_or(usize::MAX)
    }

    fn offer(&self, found: Found) -> Result<Offered, IntakeClosed> {
        if let Some(room) = self.room.lock().unwrap().get_mut(&found.object.account) {
            *room = room.saturating_sub(1);
        }
        let key = found.object.object.key;
        self.taken.lock().unwrap().push((key, found.standing, found.object.stamp));
        Ok(Offered::Taken)
    }
}

struct Setup {
    store: MemoryStore,
    inventory: Arc<MemoryInventory>,
    taker: Arc<Taker>,
    clock: Arc<TokioClock>,
    cancel: CancellationToken,
    config: TailConfig,
    pages: Pages,
}

impl Setup {
    fn new(start: Start) -> Self {
        let second = Duration::from_secs(1);
        let retry = RetryPolicy::new(second, second, 1.0, 3, 10 * second).unwrap();
        Self {
            store: MemoryStore::new("trail"),
            inventory: Arc::default(),
            taker: Arc::default(),
            clock: Arc::new(TokioClock(Instant::now())),
            cancel: CancellationToken::new(),
            config: TailConfig { retry, ..TailConfig::new(start) },
            pages: Pages::new(8),
        }
    }

    fn tail(&self) -> Tail {
        self.tail_of(Arc::new(self.store.clone()), Carries::default())
    }

    fn tail_of(&self, store: Arc<dyn ObjectStore>, carries: Carries) -> Tail {
        let (inventory, intake, clock) = (self.inventory.clone(), self.taker.clone(), self.clock.clone());
        let bucket = TrailBucket { store, prefix: String::new(), carries };
        let seams = TailSeams { inventory, intake, clock, pages: self.pages.clone() };
        Tail::new(bucket, seams, self.config.clone(), self.cancel.clone())
    }

    async fn walk(&self, bucket: &TrailBucket) -> Walk {
        let slowness = Slowness::default();
        let Self { pages, cancel, config, .. } = self;
        let lister =
            Lister { store: &*bucket.store, pages, slowness: &slowness, retry: &config.retry, cancel };
        walk(bucket, &lister).await
    }

    async fn put(&self, key: &str) {
        self.store.put(key, Bytes::from_static(b"{}"), &PutOptions::default()).await.unwrap();
    }
}

fn key(account: &str, day: Day, name: &str) -> String {
    format!("AWSLogs/{account}/CloudTrail/eu-central-1/{}{name}.json.gz", day.folder())
}

fn today() -> Day {
    Day::of(NOW)
}

#[tokio::test]
async fn a_walk_finds_streams_in_every_layout_and_names_what_does_not_belong() {
    let setup = Setup::new(Start::Beginning);
    let log = "2023/11/14/f.json.gz";
    for path in [
        format!("AWSLogs/{ONE}/CloudTrail/eu-central-1/{log}"),
        format!("AWSLogs/{ONE}/CloudTrail/us-east-1/{log}"),
        format!("AWSLogs/{ONE}/CloudTrail-Digest/us-east-1/{log}"),
        format!("AWSLogs/{ONE}/CloudTrail/Nonsense/{log}"),
        format!("AWSLogs/{ONE}/Config/us-east-1/{log}"),
        format!("AWSLogs/{ONE}/vpcflowlogs/us-east-1/{log}"),
        format!("AWSLogs/{TWO}/CloudTrail/eu-central-1/{log}"),
        format!("AWSLogs/o-a1b2c3d4e5/{ONE}/CloudTrail/eu-west-1/{log}"),
        format!("AWSLogs/o-a1b2c3d4e5/999999999999/CloudTrail/eu-west-1/{log}"),
        format!("AWSLogs/o-zzzzzzzzzz/{ONE}/CloudTrail/eu-west-1/{log}"),
        format!("elsewhere/AWSLogs/{ONE}/CloudTrail/eu-west-2/{log}"),
        "AWSLogs/CloudTrail_check".into(),
        "AWSLogs/junk/x".into(),
    ] {
        setup.put(&path).await;
    }
    let accounts = [ONE, TWO].map(|account| account.parse().unwrap());
    let carries = Carries {
        organization: Some("o-a1b2c3d4e5".parse().unwrap()),
        accounts: Some(Arc::new(BTreeSet::from(accounts))),
        below_organization: false,
    };
    let mut bucket = TrailBucket { store: Arc::new(setup.store.clone()), prefix: String::new(), carries };
    let walked = setup.walk(&bucket).await;
    let streams: Vec<(&str, Family)> = walked.streams.iter().map(|s| (s.prefix.as_str(), s.family)).collect();
    let (one, org) = (format!("AWSLogs/{ONE}"), format!("AWSLogs/o-a1b2c3d4e5/{ONE}"));
    assert_eq!(
        streams,
        [
            (format!("{one}/CloudTrail-Digest/us-east-1/").as_str(), Family::Digest),
            (&format!("{one}/CloudTrail/eu-central-1/"), Family::CloudTrail),
            (&format!("{one}/CloudTrail/us-east-1/"), Family::CloudTrail),
            (&format!("AWSLogs/{TWO}/CloudTrail/eu-central-1/"), Family::CloudTrail),
            (&format!("{org}/CloudTrail/eu-west-1/"), Family::CloudTrail),
        ]
    );
    let mut foreign: Vec<&str> = walked
        .findings
        .iter()
        .map(|finding| match finding {
            ForeignFolder::Account { prefix, .. } | ForeignFolder::Organization { prefix, .. } => {
                prefix.as_str()
            }
        })
        .collect();
    foreign.sort_unstable();
    assert_eq!(foreign, ["AWSLogs/o-a1b2c3d4e5/999999999999/", "AWSLogs/o-zzzzzzzzzz/"]);
    let unknown: Vec<&str> = walked.unknown.keys().map(String::as_str).collect();
    assert_eq!(unknown, ["Config", "Nonsense", "junk", "vpcflowlogs"]);
    assert_eq!((walked.failures_total, walked.is_cut), (0, false));

    bucket.carries.below_organization = true;
    let walked = setup.walk(&bucket).await;
    assert_eq!(walked.streams.len(), 1, "only what lies below the organization's folder");
    assert_eq!(walked.findings_total, 4);

    bucket.carries.below_organization = false;
    bucket.prefix = "elsewhere".into();
    let walked = setup.walk(&bucket).await;
    assert_eq!(walked.streams.len(), 1);
}

#[tokio::test]
async fn one_pass_takes_everything_in_once() {
    let setup = Setup::new(Start::Beginning);
    let mut expected = BTreeSet::new();
    for n in 0..2_500 {
        expected.insert(key(ONE, today(), &format!("f{n:05}")));
    }
    for n in 0..1_200 {
        // Five hundred days of history, some pages of them.
        expected.insert(key(TWO, today().plus(-n % 500), &format!("f{n:05}")));
    }
    for key in &expected {
        setup.put(key).await;
    }
    let pass = setup.tail().run_once().await.unwrap();
    assert_eq!((pass.new, pass.changed, pass.failed, pass.streams), (3_700, 0, 0, 2));
    assert_eq!(setup.taker.keys(), expected);
    assert!(pass.pages < 20, "{pass:?}");

    let again = setup.tail().run_once().await.unwrap();
    assert_eq!((again.new, again.changed, again.failed), (0, 0, 0));

    let (new, rewritten) = (key(ONE, today(), "late"), key(ONE, today(), "f00007"));
    setup.put(&new).await;
    setup.put(&rewritten).await;
    let third = setup.tail().run_once().await.unwrap();
    assert_eq!((third.new, third.changed), (1, 1));
    let taken = setup.taker.taken.lock().unwrap();
    let mut last: Vec<(&str, Standing)> =
        taken.iter().rev().take(2).map(|(k, s, _)| (k.as_str(), *s)).collect();
    last.sort_by_key(|(key, _)| *key);
    assert_eq!(last, [(rewritten.as_str(), Standing::Changed), (new.as_str(), Standing::New)]);
}

#[tokio::test]
async fn the_start_is_by_publish_day() {
    let setup = Setup::new(Start::At(NOW - 3 * DAY));
    for days in 0..10 {
        setup.put(&key(ONE, today().plus(-days), "f")).await;
    }
    assert_eq!(setup.tail().run_once().await.unwrap().new, 4);
}

#[tokio::test]
async fn planted_keys_are_not_taken() {
    let setup = Setup::new(Start::Beginning);
    let stream = format!("AWSLogs/{ONE}/CloudTrail/eu-central-1/");
    let day = today().folder();
    setup.put(&key(ONE, today(), "good")).await;
    for key in [
        format!("{stream}AWSLogs/{TWO}/CloudTrail/eu-central-1/{day}planted"),
        format!("{stream}{day}AWSLogs/{ONE}/CloudTrail/eu-central-1/{day}planted"),
        format!("{stream}{day}deeper/planted"),
        format!("{stream}planted"),
    ] {
        setup.put(&key).await;
    }
    let pass = setup.tail().run_once().await.unwrap();
    assert_eq!(setup.taker.keys(), BTreeSet::from([key(ONE, today(), "good")]));
    assert_eq!(pass.new, 1);
    assert!(pass.foreign >= 2, "{pass:?}");
}

#[tokio::test(start_paused = true)]
async fn a_prefix_that_cannot_be_listed_holds_up_nothing_else() {
    let setup = Setup::new(Start::At(NOW));
    for account in [ONE, TWO] {
        setup.put(&key(account, today(), "f")).await;
    }
    let folder = format!("AWSLogs/{ONE}/CloudTrail/eu-central-1/");
    let faults = Faults { under: folder.clone(), unavailable: 1_000, ..Faults::default() };
    let faulty = Arc::new(FaultyStore::new(Arc::new(setup.store.clone()), Steps::new(), faults));
    let mut tail = setup.tail_of(faulty.clone(), Carries::default());
    let pass = tail.run_once().await.unwrap();
    assert_eq!((pass.new, pass.failed), (1, 1));
    let health = tail.health();
    let (stream, trouble) = health.troubles().into_iter().next().unwrap();
    assert_eq!((stream.prefix, trouble.failures), (folder, 1));

    // Continuously: the trouble lasts for hours, then ends.
    let tail = setup.tail_of(faulty.clone(), Carries::default());
    let health = tail.health();
    let watch = async {
        tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
        let trouble = health.troubles().into_values().next().unwrap();
        assert!((12..40).contains(&trouble.failures), "{trouble:?}");
        faulty.set(Faults::default());
        tokio::time::sleep(Duration::from_secs(16 * 60)).await;
        assert!(health.troubles().is_empty());
        assert_eq!(setup.taker.len(), 2);
        setup.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(tail.run(), watch);
    ended.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_running_tail_finds_what_comes_and_new_accounts_too() {
    let setup = Setup::new(Start::At(NOW));
    let listed = Arc::new(FaultyStore::new(Arc::new(setup.store.clone()), Steps::new(), Faults::default()));
    setup.put(&key(ONE, today(), "f")).await;
    let tail = setup.tail_of(listed, Carries::default());
    let mut late = Vec::new();
    let watch = async {
        for n in 0..100 {
            tokio::time::sleep(Duration::from_secs(1_800)).await;
            let at = setup.clock.now().as_second();
            let name = key(if n < 50 { ONE } else { TWO }, Day::of(at), &format!("f{n}"));
            setup.put(&name).await;
            let put = Instant::now();
            while !setup.taker.keys().contains(&name) {
                tokio::time::sleep(Duration::from_secs(5)).await;
                assert!(put.elapsed() < Duration::from_secs(3_700), "{name} is not found");
            }
            late.push(put.elapsed().as_secs());
        }
        setup.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(tail.run(), watch);
    ended.unwrap();
    assert_eq!(setup.taker.len(), 101);
    // Within the longest interval, but for the first object of an account that a walk has to show first.
    assert!(late.iter().filter(|seconds| **seconds > 15 * 60 + 10).count() <= 1, "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_without_room_does_not_keep_others_waiting() {
    let mut setup = Setup::new(Start::Beginning);
    setup.config.at_once = 4;
    for region in ["a", "b", "c", "d", "e", "f"] {
        for n in 0..1_500 {
            let folder = today().plus(-5).folder();
            setup.put(&format!("AWSLogs/{ONE}/CloudTrail/{region}/{folder}f{n:04}")).await;
        }
    }
    setup.put(&key(TWO, today(), "f")).await;
    setup.taker.allow(ONE, 10);
    let tail = setup.tail();
    let watch = async {
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(setup.taker.keys().contains(&key(TWO, today(), "f")));
        // Two listings of an account may have seen the same room.
        assert!((11..=21).contains(&setup.taker.len()), "{}", setup.taker.len());
        setup.taker.allow(ONE, 1_000_000);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(setup.taker.len(), 6 * 1_500 + 1);
        setup.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(tail.run(), watch);
    ended.unwrap();
}

/// Killed anywhere and started again: what one life recorded and did not offer is in the inventory, and the
/// next one finds the rest.
#[tokio::test(start_paused = true)]
async fn no_object_is_missing_after_a_kill() {
    for life in [1, 3, 10, 40, 150] {
        let setup = Setup::new(Start::Beginning);
        let faults = Faults {
            delay: Some(Duration::from_millis(1)..Duration::from_millis(900)),
            seed: life,
            ..Faults::default()
        };
        let slow = Arc::new(FaultyStore::new(Arc::new(setup.store.clone()), Steps::new(), faults));
        let mut expected = BTreeSet::new();
        for n in 0..5_000 {
            expected.insert(key(ONE, today().plus(-n % 100), &format!("f{n:05}")));
        }
        for key in &expected {
            setup.put(key).await;
        }
        for _ in 0..5 {
            // Dropped wherever it stands.
            let tail = setup.tail_of(slow.clone(), Carries::default());
            let _ = tokio::time::timeout(Duration::from_millis(life * 100), tail.run()).await;
        }
        setup.tail().run_once().await.unwrap();
        let mut recorded = BTreeSet::new();
        let bucket = TrailBucket {
            store: Arc::new(setup.store.clone()),
            prefix: String::new(),
            carries: Carries::default(),
        };
        let stream = setup.walk(&bucket).await.streams.remove(0);
        for days in 0..100 {
            let day = today().plus(-days);
            for (name, _) in setup.inventory.known(&stream, day, "", None).unwrap() {
                recorded.insert(format!("{}{}{name}", stream.prefix, day.folder()));
            }
        }
        assert_eq!(recorded.len(), expected.len(), "killed after {life} tenths of a second");
        assert!(setup.taker.keys().is_subset(&recorded));
        assert!(setup.taker.len() <= expected.len(), "nothing is offered twice");
    }
}

#[tokio::test]
async fn an_inventory_that_fails_ends_the_tail() {
    #[derive(Debug)]
    struct Broken;
    impl Broken {
        fn error<T>(stream: &StreamKey) -> Result<T, InventoryError> {
            Err(InventoryError { stream: stream.prefix.clone(), source: "disk full".into() })
        }
    }
    impl Inventory for Broken {
        fn known(
            &self,
            stream: &StreamKey,
            _: Day,
            _: &str,
            _: Option<&str>,
        ) -> Result<Vec<(String, String)>, InventoryError> {
            Self::error(stream)
        }
        fn record(&self, stream: &StreamKey, _: &[Found]) -> Result<(), InventoryError> {
            Self::error(stream)
        }
        fn plan(&self, _: &StreamKey) -> Result<Option<DayPlan>, InventoryError> {
            Ok(None)
        }
        fn save_plan(&self, stream: &StreamKey, _: &DayPlan) -> Result<(), InventoryError> {
            Self::error(stream)
        }
    }
    let setup = Setup::new(Start::Beginning);
    setup.put(&key(ONE, today(), "f")).await;
    let bucket = TrailBucket {
        store: Arc::new(setup.store.clone()),
        prefix: String::new(),
        carries: Carries::default(),
    };
    let seams = TailSeams {
        inventory: Arc::new(Broken),
        intake: setup.taker.clone(),
        clock: setup.clock.clone(),
        pages: setup.pages.clone(),
    };
    let tail = || Tail::new(bucket.clone(), seams.clone(), setup.config.clone(), setup.cancel.clone());
    assert!(matches!(tail().run_once().await, Err(TailError::Inventory(_))));
    assert!(matches!(tail().run().await, Err(TailError::Inventory(_))));
}
