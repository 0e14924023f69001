//! A small world for engine tests: two source buckets, an archive, a state folder, and what is true of them.

#![allow(dead_code, reason = "each test binary uses its part")]

mod lake;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use trailhaul::haul::{
    BatchLimits, Counts, Engine, HomePlan, LaneEnd, Means, MemoryPlan, Places, Plans, QueueRules, Recovered,
    SinkPlan, SinkTarget, StoreOpener,
};
use trailhaul::ledger::{Filter, Gate, Ledger, LedgerOptions};
use trailhaul::runtime::{Shutdown, SystemClock, Tasks};
use trailhaul::store::{
    ErrorKind, Faults, FaultyStore, GetOptions, ListRequest, MemoryStore, ObjectStore, PutOptions, Steps,
    StoreError,
};
use trailhaul_core::decode::DecodeLimits;
use trailhaul_core::encode::Compression;
use trailhaul_core::model::{Entry, EntryBody, LaneId, ObjectRef, Place, sha256_hex};
use trailhaul_core::plan::{BatcherConfig, FoundObject};

/// The world.
pub(crate) struct World {
    lanes: u16,
    stores: BTreeMap<String, Arc<MemoryStore>>,
    folder: tempfile::TempDir,
    truth: Mutex<BTreeMap<String, BTreeSet<String>>>,
    faults: Mutex<BTreeMap<String, Faults>>,
    running: Mutex<BTreeMap<String, Arc<FaultyStore>>>,
    longest: AtomicUsize,
    counts: Mutex<Counts>,
    teller: Mutex<Option<Tell>>,
}

/// What is said to the ledger of a run, once its lanes work.
type Tell = Arc<dyn Fn(&Ledger) + Send + Sync>;

/// What a run does differently.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) take_lanes: bool,
    pub(crate) other_state: bool,
    pub(crate) other_archive: bool,
    pub(crate) other_compression: bool,
    /// Batches of seven objects instead of two.
    pub(crate) larger_batches: bool,
    /// A data lake of Parquet files beside the archive.
    pub(crate) lake: bool,
    /// Waits for stores without end, as a continuous run does.
    pub(crate) patient: bool,
    /// Compares objects with what digests say before they are delivered.
    pub(crate) hold: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Well,
    Refused,
    Broken,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) end: RunEnd,
    pub(crate) errors: Vec<String>,
    pub(crate) recovered: Recovered,
}

struct Opener(BTreeMap<String, Arc<dyn ObjectStore>>);

#[async_trait]
impl StoreOpener for Opener {
    async fn open(&self, url: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let store = self.0.get(url).cloned();
        store.ok_or_else(|| StoreError::new(ErrorKind::Invalid, "open store", url, "no such store"))
    }
}

impl World {
    pub(crate) fn new(lanes: u16) -> Self {
        let names = ["one", "two", "archive", "elsewhere", "lake"];
        let stores =
            names.iter().map(|name| ((*name).to_owned(), Arc::new(MemoryStore::new(name)))).collect();
        Self {
            lanes,
            stores,
            folder: folder(),
            truth: Mutex::default(),
            faults: Mutex::default(),
            running: Mutex::default(),
            longest: AtomicUsize::new(0),
            counts: Mutex::default(),
            teller: Mutex::default(),
        }
    }

    /// Gives a store these faults, now and in later runs.
    pub(crate) fn set(&self, store: &str, faults: &Faults) {
        self.faults.lock().unwrap().insert(store.to_owned(), faults.clone());
        if let Some(running) = self.running.lock().unwrap().get(store) {
            running.set(faults.clone());
        }
    }

    /// Says this to the ledger of each run from now on, once its lanes work.
    pub(crate) fn tell(&self, tell: impl Fn(&Ledger) + Send + Sync + 'static) {
        *self.teller.lock().unwrap() = Some(Arc::new(tell));
    }

    /// Looks at the ledger while nobody runs.
    pub(crate) fn ledger(&self) -> Ledger {
        let options = LedgerOptions { cache_bytes: 1 << 20, rebuild: false, gate: None };
        Ledger::open(&self.folder.path().join("state"), &options).unwrap()
    }

    /// Every entry of the journal, by lane and number.
    pub(crate) async fn journal(&self) -> Vec<Entry> {
        let mut keys = self.archive_keys().await;
        keys.retain(|key| key.starts_with("trails/journal/") && key.ends_with(".json"));
        keys.sort();
        let mut entries = Vec::new();
        for key in keys {
            entries.push(Entry::from_bytes(&self.read(&key).await).unwrap());
        }
        entries
    }

    /// All stores are well again.
    pub(crate) fn heal(&self) {
        for store in ["one", "two", "archive", "elsewhere", "lake"] {
            self.set(store, &Faults::default());
        }
    }

    /// The most objects that waited in one queue at a time.
    pub(crate) fn longest_queue(&self) -> usize {
        self.longest.load(Ordering::SeqCst)
    }

    /// What the last run counted.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }

    /// Puts an object with these events; `id!x` is the event `id` with other content.
    pub(crate) fn object(
        &self,
        bucket: &str,
        account: &str,
        day: &str,
        stamp: &str,
        unique: &str,
        events: &[&str],
    ) {
        let bytes = gzip(document(account, events).as_bytes());
        self.put(bucket, account, day, stamp, unique, events, bytes);
    }

    /// The same, cut short after the last event.
    pub(crate) fn damaged(
        &self,
        bucket: &str,
        account: &str,
        day: &str,
        stamp: &str,
        unique: &str,
        events: &[&str],
    ) {
        let text = document(account, events);
        let cut = text.strip_suffix("]}").unwrap();
        self.put(
            bucket,
            account,
            day,
            stamp,
            unique,
            events,
            gzip(format!("{cut},{{\"eventID\":").as_bytes()),
        );
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a key")]
    fn put(
        &self,
        bucket: &str,
        account: &str,
        day: &str,
        stamp: &str,
        unique: &str,
        events: &[&str],
        bytes: Vec<u8>,
    ) {
        let key = format!(
            "AWSLogs/{account}/CloudTrail/eu-central-1/{day}/{account}_CloudTrail_eu-central-1_{stamp}_{unique:0>16}.json.gz"
        );
        let store = Arc::clone(&self.stores[bucket]);
        let put = async move { store.put(&key, Bytes::from(bytes), &PutOptions::default()).await.unwrap() };
        futures::executor::block_on(put);
        let mut truth = self.truth.lock().unwrap();
        let records = events.iter().map(|event| record(account, event));
        truth.entry(account.to_owned()).or_default().extend(records);
    }

    /// Hauls what is there, once.
    pub(crate) async fn run(&self, steps: &Arc<Steps>, options: &Options) -> Ran {
        let found = self.listing().await;
        self.run_over(steps, options, found).await
    }

    /// Hauls these objects, which were found before.
    pub(crate) async fn run_over(
        &self,
        steps: &Arc<Steps>,
        options: &Options,
        found: Vec<FoundObject>,
    ) -> Ran {
        let mut opener = BTreeMap::new();
        for (name, store) in &self.stores {
            let faults = self.faults.lock().unwrap().get(name).cloned().unwrap_or_default();
            let inner = Arc::clone(store) as Arc<dyn ObjectStore>;
            let faulty = Arc::new(FaultyStore::new(inner, Arc::clone(steps), faults));
            self.running.lock().unwrap().insert(name.clone(), Arc::clone(&faulty));
            opener.insert(store.url().to_owned(), faulty as Arc<dyn ObjectStore>);
        }
        let state = self.folder.path().join(if options.other_state { "other" } else { "state" });
        let gate: Gate = {
            let steps = Arc::clone(steps);
            Arc::new(move || steps.around(|| ()).is_ok())
        };
        let ledger =
            Ledger::open(&state, &LedgerOptions { cache_bytes: 4 << 20, rebuild: false, gate: Some(gate) });
        let ledger = match ledger {
            Ok(ledger) => ledger,
            Err(error) => {
                return Ran {
                    end: RunEnd::Broken,
                    errors: vec![error.to_string()],
                    recovered: Recovered::default(),
                };
            }
        };
        let shutdown = Shutdown::new(Duration::from_secs(20));
        let means = Means {
            ledger: ledger.clone(),
            places: Arc::new(Places::new(Box::new(Opener(opener)))),
            clock: Arc::new(SystemClock),
            tasks: Arc::new(Tasks::new(shutdown)),
            aws: None,
            meters: Arc::default(),
        };
        let engine = match Engine::start(&self.plans(options), &means).await {
            Ok(engine) => engine,
            Err(error) => {
                let frozen = steps.is_frozen();
                means.tasks.shutdown().abort();
                means.tasks.drain().await;
                let end = if frozen { RunEnd::Broken } else { RunEnd::Refused };
                return Ran { end, errors: vec![error.to_string()], recovered: Recovered::default() };
            }
        };
        let tell = self.teller.lock().unwrap().clone();
        if let Some(tell) = tell {
            tell(&ledger);
        }
        drop(ledger);
        self.offer(&engine, found).await;
        engine.queues.iter().for_each(|queue| queue.close());
        means.tasks.join().await;
        engine.cpu.stop().await;
        *self.counts.lock().unwrap() = engine.counters.counts();
        let mut errors: Vec<String> = engine.ends.take().iter().map(LaneEnd::to_string).collect();
        for queue in &engine.queues {
            errors.extend(queue.abandoned().into_iter().map(|(object, why)| format!("{object}: {why}")));
        }
        errors.extend(engine.out.iter().map(|(lane, why)| format!("{lane}: {why}")));
        let end = if errors.is_empty() { RunEnd::Well } else { RunEnd::Broken };
        Ran { end, errors, recovered: engine.recovered }
    }

    /// What the source buckets show.
    pub(crate) async fn listing(&self) -> Vec<FoundObject> {
        let mut found = Vec::new();
        for name in ["one", "two"] {
            let store = &self.stores[name];
            let page = store.list(&ListRequest::default()).await.unwrap();
            assert!(page.next.is_none());
            for listed in page.objects {
                let object = ObjectRef {
                    bucket: store.url().into(),
                    key: listed.key,
                    etag: listed.etag,
                    version: None,
                    size: listed.size,
                };
                found.push(FoundObject::new(object).unwrap());
            }
        }
        found
    }

    /// The hash that a digest would give for an object: of its inflated bytes.
    pub(crate) async fn sha256_of(&self, object: &ObjectRef) -> [u8; 32] {
        let store = self.stores.values().find(|store| store.url() == &*object.bucket).unwrap();
        let mut read = store.get(&object.key, GetOptions::default()).await.unwrap();
        let mut stored = Vec::new();
        while let Some(piece) = read.body.next().await.unwrap() {
            stored.extend_from_slice(&piece);
        }
        let mut text = Vec::new();
        #[expect(clippy::disallowed_types, reason = "what the world wrote itself")]
        flate2::read::GzDecoder::new(stored.as_slice()).read_to_end(&mut text).unwrap();
        trailhaul_core::verify::Sha256::of(&text).0
    }

    async fn offer(&self, engine: &Engine, found: Vec<FoundObject>) {
        for found in found {
            let lane = trailhaul::archive::lane_of(found.account, self.lanes);
            let queue = &engine.queues[usize::from(lane.0)];
            queue.offer(found).await;
            self.longest.fetch_max(queue.len(), Ordering::SeqCst);
        }
    }

    fn plans(&self, options: &Options) -> Plans {
        let url = self.stores[if options.other_archive { "elsewhere" } else { "archive" }].url().to_owned();
        let compression = if options.other_compression { Compression::Gzip(1) } else { Compression::Zstd };
        let lake = options.lake.then(|| lake::plan(self.stores["lake"].url()));
        let mut plans = Plans {
            home: HomePlan { url: url.clone(), prefix: "trails".into(), lanes: self.lanes },
            sinks: vec![SinkPlan {
                name: "archive".into(),
                compression,
                format: trailhaul_core::normalize::Format::Raw,
                filter: None,
                redact: Vec::new(),
                findings: self.teller.lock().unwrap().is_some(),
                target: SinkTarget::Archive { url, prefix: "trails".into(), home: true },
            }],
            accounts: Arc::default(),
            memory: MemoryPlan {
                working_sets: 64 << 20,
                working_set: 16 << 20,
                window: 1 << 20,
                queue: 64,
                pages: 8,
            },
            threads: 2,
            decode: DecodeLimits::default(),
            batch: BatchLimits { inflated: 64 << 20, ids: 100_000, entry: 1 << 20, log: 64 << 20 },
            queue: QueueRules {
                batcher: BatcherConfig {
                    max_objects: if options.larger_batches { 7 } else { 2 },
                    queue: 64,
                    ..BatcherConfig::default()
                },
                attempts: (!options.patient).then_some(2),
            },
            hold: options.hold.then_some(Duration::from_secs(3_600)),
            window_seconds: 7 * 86_400,
            scratch: self.folder.path().join("scratch"),
            take_lanes: options.take_lanes,
            patient: options.patient,
            host: "test".into(),
        };
        plans.sinks.extend(lake);
        plans
    }

    /// The ledger's file is gone; the agent's identity is still there.
    pub(crate) fn lose_ledger(&self) {
        std::fs::remove_file(self.folder.path().join("state/ledger.redb")).unwrap();
    }

    /// Whether the state folder holds a ledger.
    pub(crate) fn has_ledger(&self) -> bool {
        self.folder.path().join("state/ledger.redb").exists()
    }

    /// Everything that is true of an account.
    pub(crate) fn truth_of(&self, account: &str) -> BTreeSet<String> {
        self.truth.lock().unwrap()[account].clone()
    }

    /// An event that was added to an object later.
    pub(crate) fn also_true(&self, account: &str, event: &str) {
        self.truth.lock().unwrap().get_mut(account).unwrap().insert(record(account, event));
    }

    /// The findings on record, as kind and subject.
    pub(crate) fn findings(&self) -> Vec<(String, String)> {
        let findings = self.ledger().findings(&Filter::default(), 1_000).unwrap();
        findings.into_iter().map(|finding| (finding.kind, finding.subject)).collect()
    }

    /// Every lane's journal is a chain without gaps, and the books of every batch balance.
    pub(crate) async fn check_journal(&self, context: &str) {
        let mut last: Option<(LaneId, u64, String)> = None;
        let mut keys = self.archive_keys().await;
        keys.retain(|key| key.starts_with("trails/journal/") && key.ends_with(".json"));
        keys.sort();
        for key in keys {
            let bytes = self.read(&key).await;
            let entry = Entry::from_bytes(&bytes).unwrap();
            match last.as_ref().filter(|(lane, ..)| *lane == entry.lane) {
                Some((lane, number, hash)) => entry.check_follows(*lane, *number, hash).unwrap(),
                None => assert_eq!(entry.number, 1, "{context}: {key}"),
            }
            if let EntryBody::Batch(batch) = &entry.body {
                batch.check_books().unwrap_or_else(|what| panic!("{context}: {key}: {what}"));
            }
            last = Some((entry.lane, entry.number, sha256_hex(&bytes)));
        }
    }

    /// Removes or replaces what stands under a key that contains `part`.
    pub(crate) fn replace(&self, bucket: &str, part: &str, with: Option<(&str, &[&str])>) {
        let store = Arc::clone(&self.stores[bucket]);
        let page = futures::executor::block_on(store.list(&ListRequest::default())).unwrap();
        let key = page.objects.into_iter().find(|listed| listed.key.contains(part)).unwrap().key;
        match with {
            None => drop(store.remove(&key)),
            Some((account, events)) => {
                let bytes = Bytes::from(gzip(document(account, events).as_bytes()));
                let put = async move { store.put(&key, bytes, &PutOptions::default()).await.unwrap() };
                futures::executor::block_on(put);
            }
        }
    }

    /// The subjects of the findings in the records of the archive.
    pub(crate) async fn finding_records(&self) -> Vec<String> {
        let mut subjects = Vec::new();
        for key in
            self.archive_keys().await.into_iter().filter(|key| key.starts_with("trails/findings/date="))
        {
            let bytes = self.read(&key).await;
            let text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
            for line in text.lines() {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(record["type"], "trailhaul.finding");
                subjects.push(record["subject"].as_str().unwrap().to_owned());
            }
        }
        subjects.sort();
        subjects
    }

    /// Everything under `data/`, record by record, equals the truth: each once.
    pub(crate) async fn check_truth(&self) {
        self.check_truth_without(&BTreeSet::new()).await;
    }

    pub(crate) async fn check_truth_without(&self, gone: &BTreeSet<String>) {
        let mut expected: Vec<String> = self.truth.lock().unwrap().values().flatten().cloned().collect();
        expected.retain(|record| !gone.contains(record));
        expected.sort();
        let mut found = Vec::new();
        for key in self.archive_keys().await.into_iter().filter(|key| key.starts_with("trails/data/")) {
            let bytes = self.read(&key).await;
            let mut text = String::new();
            if key.ends_with(".gz") {
                #[expect(clippy::disallowed_types, reason = "the archive's members concatenate")]
                flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
            } else {
                zstd::Decoder::new(bytes.as_slice()).unwrap().read_to_string(&mut text).unwrap();
            }
            found.extend(text.lines().map(str::to_owned));
        }
        found.sort();
        assert_eq!(found, expected);
    }

    /// Every object under `data/`, `index/` and `quarantine/` is named by a batch entry of the journal.
    pub(crate) async fn check_nothing_uncommitted(&self, context: &str) {
        let keys = self.archive_keys().await;
        let mut named = BTreeSet::new();
        for key in keys.iter().filter(|key| key.starts_with("trails/journal/") && key.ends_with(".json")) {
            let entry = Entry::from_bytes(&self.read(key).await).unwrap();
            let outputs = entry.body.outputs().map(|(_, outputs)| outputs).unwrap_or_default();
            for output in outputs {
                if let Place::Upload { key, .. } = &output.place {
                    named.insert(key.clone());
                }
            }
        }
        for key in keys.iter().filter(|key| !key.starts_with("trails/journal/")) {
            assert!(named.contains(key), "{context}: {key} is visible and in no entry");
        }
    }

    pub(crate) async fn check_no_uploads(&self, context: &str) {
        let uploads = self.stores["archive"].list_uploads("", 100).await.unwrap();
        assert!(uploads.is_empty(), "{context}: {uploads:?}");
    }

    pub(crate) async fn drop_uploads(&self) {
        let store = &self.stores["archive"];
        for upload in store.list_uploads("", 1_000).await.unwrap() {
            store.abort_upload(&upload.key, &upload.upload).await.unwrap();
        }
    }

    /// Removes an account's objects from a bucket; returns the records that only they had.
    pub(crate) fn forget_source(&self, bucket: &str, account: &str) -> BTreeSet<String> {
        let store = &self.stores[bucket];
        let page = futures::executor::block_on(store.list(&ListRequest::default())).unwrap();
        for listed in page.objects.iter().filter(|listed| listed.key.contains(account)) {
            store.remove(&listed.key);
        }
        self.truth.lock().unwrap()[account].clone()
    }

    pub(crate) async fn archive_keys(&self) -> Vec<String> {
        let page = self.stores["archive"].list(&ListRequest::default()).await.unwrap();
        assert!(page.next.is_none());
        page.objects.into_iter().map(|object| object.key).collect()
    }

    async fn read(&self, key: &str) -> Vec<u8> {
        self.read_of("archive", key).await
    }

    async fn read_of(&self, store: &str, key: &str) -> Vec<u8> {
        let mut object = self.stores[store].get(key, GetOptions::default()).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = object.body.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

pub(crate) fn record(account: &str, event: &str) -> String {
    let id = event.split('!').next().unwrap();
    format!(
        "{{\"eventVersion\":\"1.08\",\"eventTime\":\"2026-11-20T10:00:00Z\",\"eventName\":\"N{event}\",\"eventID\":\"{account}-{id}\"}}"
    )
}

fn document(account: &str, events: &[&str]) -> String {
    let records: Vec<String> = events.iter().map(|event| record(account, event)).collect();
    format!("{{\"Records\":[{}]}}", records.join(","))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder in memory where there is one: what is tested is the order of steps, not the disk.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
