//! Health and metrics of a running agent over a simulated organization that was tampered with: every declared metric
//! is there, and says what the summary, `status` and `findings` say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use trailhaul::telemetry::{Metric, MetricKind};
use trailhaul_tests::org::Options;
use trailhaul_tests::tamper::{Act, Tamperer};
use trailhaul_tests::truth;

use tree::{Tree, signal, wait};

/// How long a condition may take to hold on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a scrape shows: the number of each series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Scrape(BTreeMap<String, u64>);

impl Scrape {
    fn of(metric: Metric, labels: &[&str]) -> String {
        let pairs: Vec<String> =
            metric.labels().iter().zip(labels).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if pairs.is_empty() {
            metric.name().to_owned()
        } else {
            format!("{}{{{}}}", metric.name(), pairs.join(","))
        }
    }

    /// One series, which must be there.
    fn get(&self, metric: Metric, labels: &[&str]) -> u64 {
        let name = Self::of(metric, labels);
        *self.0.get(&name).unwrap_or_else(|| panic!("{name} is not in {:#?}", self.0))
    }

    /// The sum over all series of a metric, of which there must be one.
    fn sum(&self, metric: Metric) -> u64 {
        let is_of = |name: &&String| name.split('{').next() == Some(metric.name());
        let names: Vec<&String> = self.0.keys().filter(is_of).collect();
        assert!(!names.is_empty(), "{} is not shown", metric.name());
        names.iter().map(|name| self.0[*name]).sum()
    }
}

/// A running agent that serves its metrics.
struct Running {
    child: Child,
    log: PathBuf,
    address: Option<SocketAddr>,
}

impl Running {
    fn start(tree: &Tree) -> Self {
        let log = tree.path("agent.log");
        let mut command = tree.command(&["--output", "json", "--log-format", "json", "run"]);
        command.env("RUST_LOG", "info").stdout(File::create(tree.path("summary")).unwrap());
        command.stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log, address: None }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: the agent has ended: {ended:?}\n{}", self.told());
            assert!(began.elapsed() < PATIENCE, "{what}: does not come to hold\n{}", self.told());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Where it serves, as it says in its log.
    fn address(&mut self) -> SocketAddr {
        self.until("it serves", |agent| {
            let told = agent.told();
            let mut lines = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let serves = |line: &Value| line["message"] == "serve health and metrics";
            let address = lines.rfind(serves);
            agent.address = address.map(|line| line["address"].as_str().unwrap().parse().unwrap());
            agent.address.is_some()
        });
        self.address.unwrap()
    }

    /// The status code and the body.
    fn get(&mut self, path: &str) -> (u16, String) {
        let mut connected = None;
        // An endpoint that moves is away for a moment.
        self.until("it answers", |agent| {
            connected = TcpStream::connect(agent.address()).ok();
            connected.is_some()
        });
        let mut stream = connected.unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Reads the metrics, and checks their form.
    fn scrape(&mut self) -> Scrape {
        let (code, body) = self.get("/metrics");
        assert_eq!(code, 200, "{body}");
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let mut scrape = Scrape::default();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(kinds.insert(name, kind).is_none(), "{name} is declared twice");
            } else if !line.starts_with("# HELP ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let metric = name.split('{').next().unwrap();
                assert!(kinds.contains_key(metric), "{line}: no type");
                assert!(scrape.0.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}");
            }
        }
        for metric in Metric::ALL {
            let kind = if metric.kind() == MetricKind::Counter { "counter" } else { "gauge" };
            assert_eq!(kinds.get(metric.name()), Some(&kind), "{}\n{body}", metric.name());
        }
        assert_eq!(kinds.len(), Metric::ALL.len(), "{kinds:?}");
        scrape
    }

    /// Ends it; its summary.
    fn stop(mut self, tree: &Tree) -> Value {
        signal(&self.child, Signal::TERM);
        let status = wait(&mut self.child, PATIENCE).expect("the agent ends");
        // What is open is told by whoever saw it.
        assert!(matches!(status.code(), Some(0 | 1)), "{status:?}\n{}", self.told());
        serde_json::from_str(&fs::read_to_string(tree.path("summary")).unwrap()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tampered organization, and a configuration with a second sink that takes only some events.
fn tampered() -> Tree {
    let options = Options { seed: 7, accounts: 3, regions: 2, hours: 6, rate: 40, ..Options::default() };
    println!("seed {}", options.seed);
    let mut tree = Tree::digested(&options);
    let mut tamperer = Tamperer::open(tree.folder.path()).unwrap();
    for act in [Act::ChangeLog, Act::DeleteLog] {
        tamperer.act(act).unwrap();
    }
    tamperer.finish().unwrap();
    let root = tree.folder.path().display().to_string();
    let sink = format!("  reads:\n    type: file\n    path: {root}/reads\n    filter: 'readOnly'\nstate:\n");
    // Long enough for the newest digests to be none too late, and over for the log that is deleted.
    let rules = "  mode: attest\n  grace: 2h\n";
    tree.config = tree.config.replace("state:\n", &sink).replace("  mode: attest\n", rules)
        + "tail:\n  interval: 1s\n  max_interval: 2s\n  look_back: 2d\nbatch:\n  age: 1s\n";
    tree.config = tree.config.replace("listen: off", "listen: 127.0.0.1:0");
    tree.write_config(&tree.config);
    tree
}

fn asked(tree: &Tree, arguments: &[&str]) -> Value {
    let ran = tree.run(&[&["--output", "json"], arguments].concat());
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// How many findings are open, by kind.
fn open(tree: &Tree) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for finding in asked(tree, &["findings", "list"])["findings"].as_array().unwrap() {
        *kinds.entry(finding["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    kinds
}

/// How many objects have which verdict.
fn verdicts(status: &Value) -> BTreeMap<String, u64> {
    let mut verdicts = BTreeMap::new();
    for account in status["verdicts"].as_object().unwrap().values() {
        for (verdict, count) in account.as_object().unwrap() {
            *verdicts.entry(verdict.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    verdicts
}

/// How many log files lie in the buckets of the configuration.
fn there(tree: &Tree) -> u64 {
    let truth = truth::read(&tree.path("truth.ndjson")).unwrap();
    let logs = truth.objects.iter().filter(|o| o.trail.is_some() && o.family.folder() != "CloudTrail-Digest");
    let paths: BTreeSet<PathBuf> =
        logs.map(|object| tree.path("buckets").join(&object.bucket).join(&object.key)).collect();
    paths.iter().filter(|path| path.exists()).count() as u64
}

/// Waits until everything is hauled and judged.
fn settled(agent: &mut Running, tree: &Tree) -> Scrape {
    let there = there(tree);
    agent.until("everything is hauled", |agent| agent.scrape().sum(Metric::ObjectsDone) >= there);
    let mut last = Scrape::default();
    agent.until("everything is judged, and shown", |agent| {
        let status = asked(tree, &["status"]);
        last = agent.scrape();
        let open = open(tree);
        let is_found = ["log_missing", "log_mismatch"].iter().all(|kind| open.contains_key(*kind));
        is_found
            && last.sum(Metric::ObjectsWaiting) == 0
            && judged(&last, &status)
            && shows(&last, Metric::OpenFindings, &open)
            && shows(&last, Metric::Findings, &open)
    });
    assert_eq!(last.sum(Metric::ObjectsDone), there);
    last
}

#[test]
fn metrics_agree_with_the_summary_and_the_status() {
    let tree = tampered();
    let mut agent = Running::start(&tree);
    assert_eq!(agent.get("/healthz"), (200, "ok\n".to_owned()));
    agent.until("it is ready", |agent| agent.get("/readyz").0 == 200);
    let scrape = settled(&mut agent, &tree);
    check_agent(&scrape);

    // Somebody has looked at one: it is no longer open, and still counted.
    let id = asked(&tree, &["findings", "list", "--kind", "log_missing"])["findings"][0]["id"].clone();
    asked(&tree, &["findings", "ack", id.as_str().unwrap(), "--reason", "a drill", "--who", "ana"]);
    let before = scrape.get(Metric::OpenFindings, &["log_missing"]);
    agent.until("the acknowledgement shows", |agent| {
        agent.scrape().get(Metric::OpenFindings, &["log_missing"]) == before - 1
    });
    let scrape = agent.scrape();
    assert_eq!(scrape.get(Metric::Findings, &["log_missing"]), before, "it is still counted");
    let summary = agent.stop(&tree);
    check_summary(&scrape, &summary);

    // Counters begin anew with the process; what is open stays open.
    let mut agent = Running::start(&tree);
    agent.until("it is ready again", |agent| agent.get("/readyz").0 == 200);
    let again = agent.scrape();
    assert_eq!(again.sum(Metric::Findings), 0);
    assert_eq!(again.sum(Metric::RecordsIn), 0);
    assert_eq!(again.sum(Metric::OpenFindings), scrape.sum(Metric::OpenFindings));
    agent.stop(&tree);
}

/// Whether a metric shows just these numbers by kind.
fn shows(scrape: &Scrape, metric: Metric, kinds: &BTreeMap<String, u64>) -> bool {
    kinds.iter().all(|(kind, count)| scrape.get(metric, &[kind]) == *count)
        && scrape.sum(metric) == kinds.values().sum::<u64>()
}

/// Whether the verdicts are those of the status, and as many are proven as can be.
fn judged(scrape: &Scrape, status: &Value) -> bool {
    let verdicts = verdicts(status);
    let count = |verdict: &str| verdicts.get(verdict).copied().unwrap_or(0);
    let shown = |verdict: &str| scrape.get(Metric::Verdicts, &[verdict]);
    ["verified", "mismatch", "undigested", "extra"].iter().all(|verdict| shown(verdict) == count(verdict))
        && count("verified") > 0
        && count("mismatch") == 1
        // What is not there is not in the inventory.
        && shown("missing") == scrape.get(Metric::Findings, &["log_missing"])
}

fn check_agent(scrape: &Scrape) {
    assert_eq!(scrape.get(Metric::LanesOwned, &[]), 16);
    let limit = scrape.get(Metric::MemoryLimit, &[]);
    assert!(limit > 1 << 20 && scrape.get(Metric::MemoryHeld, &[]) <= limit, "{limit}");
    assert_eq!(scrape.sum(Metric::ObjectsFound), scrape.sum(Metric::ObjectsDone));
    for metric in
        [Metric::Lag, Metric::Unlisted, Metric::ObjectsDeferred, Metric::Retries, Metric::BatchesVoided]
    {
        assert_eq!(scrape.sum(metric), 0, "{}", metric.name());
    }
    for operation in ["list", "get", "put", "complete_upload"] {
        assert!(scrape.get(Metric::StoreCalls, &[operation]) > 0, "{operation}");
    }
    assert!(scrape.sum(Metric::StoreErrors) <= scrape.sum(Metric::StoreCalls));
}

fn check_summary(scrape: &Scrape, summary: &Value) {
    let total = |name: &str| summary["total"][name].as_u64().unwrap();
    let expected = [
        (Metric::ObjectsDone, total("objects")),
        (Metric::BytesRead, total("stored")),
        (Metric::BytesInflated, total("inflated")),
        (Metric::RecordsIn, total("records")),
        (Metric::RecordsUnique, total("unique")),
        (Metric::RecordsDuplicate, total("duplicates")),
        (Metric::RecordsConflict, total("conflicts")),
        (Metric::RecordsQuarantined, total("quarantined")),
        (Metric::BatchesCommitted, summary["batches"].as_u64().unwrap()),
        (Metric::ObjectsDeferred, summary["objects_deferred"].as_u64().unwrap()),
        (Metric::OpenFindings, summary["findings"].as_u64().unwrap()),
    ];
    for (metric, expected) in expected {
        assert_eq!(scrape.sum(metric), expected, "{}: {summary:#}", metric.name());
    }
    for (sink, delivered) in summary["delivered"].as_object().unwrap() {
        assert_eq!(scrape.get(Metric::RecordsDelivered, &[sink]), delivered.as_u64().unwrap(), "{sink}");
    }
    for (sink, written) in summary["written_bytes"].as_object().unwrap() {
        assert_eq!(scrape.get(Metric::BytesWritten, &[sink]), written.as_u64().unwrap(), "{sink}");
    }
    // The books, from the metrics alone.
    let unique = scrape.get(Metric::RecordsUnique, &[]);
    let left = scrape.get(Metric::RecordsDuplicate, &[]) + scrape.get(Metric::RecordsQuarantined, &[]);
    assert_eq!(scrape.get(Metric::RecordsIn, &[]), unique + left);
    for sink in ["archive", "reads"] {
        let of = |metric| scrape.get(metric, &[sink]);
        let books = of(Metric::RecordsDelivered) + of(Metric::RecordsFiltered) + of(Metric::RecordsRefused);
        assert_eq!(books, unique, "{sink}");
    }
    assert!(scrape.get(Metric::RecordsFiltered, &["reads"]) > 0 && unique > 0);
    assert!(scrape.get(Metric::RecordsDuplicate, &[]) > 0, "{summary:#}");
}

#[test]
fn an_address_that_is_taken_is_refused_and_a_reload_keeps_the_endpoint() {
    let tree = Tree::simulate(
        &Options { seed: 3, accounts: 2, regions: 1, hours: 1, rate: 20, ..Options::default() },
        &[],
        trailhaul_tests::damage::Sizes::default(),
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let with = |listen: &str| tree.config.replace("listen: off", &format!("listen: {listen}"));
    tree.write_config(&with(&address.to_string()));
    let ran = tree.run(&["run"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains(&format!("cannot listen on {address} (admin.listen)")), "{ran:?}");
    assert!(ran.stderr.contains("`off`"), "{ran:?}");
    // A single pass serves nothing, and needs no address.
    assert_eq!(tree.once().code, Some(0));

    tree.write_config(&with("127.0.0.1:0"));
    let mut agent = Running::start(&tree);
    agent.until("it is ready", |agent| agent.get("/readyz").0 == 200);
    let before = agent.address();
    // The endpoint stays where it is through a reload, and where the new configuration does not hold.
    for (listen, said) in [
        ("127.0.0.1:0", "go on with the new configuration"),
        (&address.to_string(), "refuse the new configuration"),
    ] {
        tree.write_config(&with(listen));
        signal(&agent.child, Signal::HUP);
        agent.until(said, |agent| agent.told().contains(said));
        agent.until("it is ready", |agent| agent.get("/readyz").0 == 200);
    }
    assert_eq!(agent.get("/healthz").0, 200);
    assert!(agent.told().matches("serve health and metrics").count() >= 1, "{before}");
    signal(&agent.child, Signal::TERM);
    assert_eq!(wait(&mut agent.child, PATIENCE).expect("the agent ends").code(), Some(0), "{}", agent.told());
}
