//! `verify` over simulated organizations: untouched, tampered with, and partly unreadable.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; its helpers are tests too")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use trailhaul::audit::{
    Keys, Outlook, Report, Source, Sources, Verification, VerifyRequest, Weight, load_key_file,
};
use trailhaul::runtime::{CpuPool, RetryPolicy};
use trailhaul::store::{
    ErrorKind, FolderStore, GetObject, GetOptions, ListPage, ListRequest, ObjectMeta, ObjectStore, Part,
    PutOptions, StoreError, UploadRef,
};
use trailhaul_core::verify::KeyRing;
use trailhaul_tests::digests::{self, Integrity, KEYS};
use trailhaul_tests::org::Options;
use trailhaul_tests::tamper::{Act, Tamperer, Verdict};
use trailhaul_tests::{delivery, truth};

fn tree(root: &Path, options: Options) -> Integrity {
    delivery::simulate(root, &options).unwrap().1.finish().unwrap();
    let mut truth = truth::read(&root.join("truth.ndjson")).unwrap();
    digests::add(root, &mut truth, &root.join(KEYS)).unwrap()
}

fn small(seed: u64) -> Options {
    Options { seed, accounts: 5, regions: 3, hours: 4, rate: 40, ..Options::default() }
}

/// Runs the program over every bucket of a tree.
fn verify(root: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailhaul"));
    command.arg("verify").env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    for bucket in std::fs::read_dir(root.join("buckets")).unwrap() {
        command.arg("--bucket").arg(format!("file://{}", bucket.unwrap().path().display()));
    }
    for keys in std::fs::read_dir(root.join("public-keys")).unwrap() {
        command.arg("--public-keys").arg(keys.unwrap().path());
    }
    command.args(more).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every problem with its weight, outcome and object, of all chains and beside them.
fn problems(report: &Value) -> Vec<(String, String, String)> {
    let chains = report["chains"].as_array().unwrap().iter();
    let all = chains.flat_map(|chain| chain["problems"].as_array().unwrap());
    let text = |problem: &Value, field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    all.chain(report["problems"].as_array().unwrap())
        .map(|problem| (text(problem, "weight"), text(problem, "outcome"), text(problem, "object")))
        .collect()
}

#[test]
fn an_untouched_organization_is_vouched_for_whole() {
    let root = tempfile::tempdir().unwrap();
    let integrity = tree(root.path(), small(11));
    let output = verify(root.path(), &["--output", "json"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let digests: usize = integrity.chains.iter().map(|chain| chain.digests.len()).sum();
    let logs: usize = integrity.chains.iter().flat_map(|c| &c.digests).map(|digest| digest.logs.len()).sum();
    assert!(digests > 50 && logs > 200, "{digests} digests and {logs} logs are too few to prove anything");
    assert_eq!(report["totals"]["digests"]["valid"], digests);
    assert_eq!(report["totals"]["logs"]["valid"], logs);
    assert_eq!(report["totals"]["findings"], 0);
    assert!(integrity.chains.iter().any(|chain| chain.backfill), "a backfill chain is among them");

    let text = String::from_utf8(verify(root.path(), &[]).stdout).unwrap();
    assert!(text.ends_with("Everything that could be checked is as CloudTrail wrote it.\n"), "{text}");
}

/// What verification may call a place of which the simulation says this.
fn allowed(verdict: Verdict) -> &'static [&'static str] {
    match verdict {
        Verdict::Mismatch => &["hash-mismatch", "bad-format", "trailing-data"],
        Verdict::Missing => &["missing", "gap-missing"],
        // No accusation: a trail without validation may have written it.
        Verdict::Extra | Verdict::Foreign => &["not-covered"],
        Verdict::BadSignature => &["bad-signature", "signature-missing", "bad-format"],
        Verdict::UnknownKey => &["key-not-found"],
        Verdict::Moved => &["moved"],
    }
}

#[test]
fn every_tampering_is_found_and_nothing_else_is_accused() {
    let root = tempfile::tempdir().unwrap();
    tree(root.path(), Options { accounts: 6, ..small(12) });
    let mut tamperer = Tamperer::open(root.path()).unwrap();
    for act in Act::ALL {
        tamperer.act(*act).unwrap();
    }
    let (_, integrity) = tamperer.finish().unwrap();
    let normal = integrity.chains.iter().filter(|chain| !chain.backfill);
    let ends = normal.filter_map(|chain| chain.digests.last().map(|digest| digest.end));
    let until = jiff::Timestamp::from_second(ends.min().unwrap()).unwrap().to_string();
    let output = verify(root.path(), &["--output", "json", "--from", "beginning", "--until", &until]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1));
    let problems = problems(&report);

    let mut touched = BTreeSet::new();
    for tampering in &integrity.tampered {
        for effect in &tampering.effects {
            let object = format!("s3://{}/{}", effect.bucket, effect.key);
            let said: Vec<_> = problems.iter().filter(|(_, _, at)| *at == object).collect();
            let folder = problems.iter().any(|(_, outcome, at)| {
                outcome == "not-covered" && object.starts_with(at.as_str()) && at.ends_with('/')
            });
            let fits = said.iter().any(|(_, outcome, _)| allowed(effect.verdict).contains(&outcome.as_str()));
            let folder = folder && allowed(effect.verdict) == ["not-covered"];
            // The newest digest of a chain may end after the time that is asked about.
            let late = tampering.act == "delete-newest-digests" && !fits;
            assert!(fits || folder || late, "{}: {object} is said to be {said:?}", tampering.act);
            touched.insert(object);
        }
    }
    let accused = problems.iter().filter(|(weight, _, _)| weight == "finding");
    let innocent: Vec<_> = accused.filter(|(_, _, object)| !touched.contains(object)).collect();
    assert!(innocent.is_empty(), "{innocent:#?}");
    let newest = problems.iter().filter(|(_, outcome, at)| {
        let acted = integrity.tampered.iter().find(|t| t.act == "delete-newest-digests");
        outcome == "gap-missing" && acted.unwrap().effects.iter().any(|e| at.ends_with(&e.key))
    });
    assert!(newest.count() > 0, "the newest digests were deleted and nobody noticed");
}

/// Takes away every signature, as a copying tool does that keeps no metadata.
fn lose_metadata(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            lose_metadata(&path);
        } else if path.to_str().unwrap().ends_with(".metadata.json") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_copy_without_signatures_is_unknown_and_what_contradicts_itself_is_found() {
    let root = tempfile::tempdir().unwrap();
    let integrity = tree(root.path(), Options { accounts: 2, regions: 1, ..small(13) });
    lose_metadata(&root.path().join("buckets"));
    let output = verify(root.path(), &["--output", "json"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(69), "{report:#}");
    let digests: usize = integrity.chains.iter().map(|chain| chain.digests.len()).sum();
    assert_eq!(
        (&report["totals"]["findings"], &report["totals"]["digests"]["valid"]),
        (&0.into(), &0.into())
    );
    assert_eq!(report["totals"]["digests"]["unknown"], digests);
    assert!(report["totals"]["logs"]["unknown"].as_u64().unwrap() > 20, "{report:#}");
    let said = problems(&report);
    let lost = said.iter().filter(|(weight, outcome, _)| weight == "unknown" && outcome == "signatures-lost");
    assert_eq!(lost.count(), integrity.chains.len(), "{said:?}");

    let truth = truth::read(&root.path().join("truth.ndjson")).unwrap();
    let digest = integrity.chains[0].digests.iter().find(|digest| !digest.logs.is_empty()).unwrap();
    let log = &truth.objects[usize::try_from(digest.logs[0]).unwrap()];
    std::fs::write(root.path().join("buckets").join(&log.bucket).join(&log.key), b"forged").unwrap();
    let gone = &integrity.chains[0].digests[1];
    std::fs::remove_file(root.path().join("buckets").join(&gone.bucket).join(&gone.key)).unwrap();
    let output = verify(root.path(), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let said = problems(&json(&output));
    let findings: BTreeSet<_> = said
        .iter()
        .filter(|(weight, ..)| weight == "finding")
        .map(|(_, outcome, at)| (outcome.as_str(), at.clone()))
        .collect();
    let place = |bucket: &str, key: &str| format!("s3://{bucket}/{key}");
    assert!(findings.contains(&("gap-missing", place(&gone.bucket, &gone.key))), "{findings:?}");
    assert!(findings.contains(&("bad-format", place(&log.bucket, &log.key))), "{findings:?}");
}

#[tokio::test]
async fn one_object_that_may_not_be_read_stops_nothing() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { accounts: 2, regions: 1, hours: 4, ..Options::default() };
    let integrity = tree(root.path(), options);
    let chain = &integrity.chains[0];
    let truth = truth::read(&root.path().join("truth.ndjson")).unwrap();
    let log = chain.digests.iter().flat_map(|digest| &digest.logs).next().unwrap();
    let log = truth.objects[usize::try_from(*log).unwrap()].key.clone();
    let denied = [log, chain.digests[2].key.clone()];

    let folder = root.path().join("buckets").join(&chain.digests[0].bucket);
    let store = Denying { inner: FolderStore::open(folder).unwrap(), denied: denied.to_vec() };
    let report = verified(root.path(), &chain.digests[0].bucket, Arc::new(store)).await;
    let problems: Vec<_> = report.chains.iter().flat_map(|chain| &chain.problems).collect();
    let unknown = problems.iter().filter(|problem| problem.weight == Weight::Unknown);
    let unknown: BTreeSet<_> = unknown.map(|problem| (problem.outcome, problem.object.clone())).collect();
    let expected =
        denied.map(|key| ("access-denied", Some(format!("s3://{}/{key}", chain.digests[0].bucket))));
    assert_eq!(unknown, BTreeSet::from(expected));
    assert_eq!((report.exit_code(), report.totals.findings), (69, 0));
    assert!(report.totals.logs.valid > 0 && report.totals.digests.valid > 5);
}

async fn verified(root: &Path, bucket: &str, store: Arc<dyn ObjectStore>) -> Report {
    let cpu = Arc::new(CpuPool::new(2, 4).unwrap());
    let mut sources = Sources::new(cpu, RetryPolicy::never(), CancellationToken::new());
    sources.add(Source::whole(store, bucket, Outlook::Live));
    let request = VerifyRequest {
        from: None,
        until: Some(0),
        now: 4_000_000_000,
        grace: 0,
        accounts: BTreeSet::new(),
        regions: BTreeSet::new(),
        trails: BTreeSet::new(),
        max_log: 1 << 30,
        logs_at_once: 4,
    };
    let truth = truth::read(&root.join("truth.ndjson")).unwrap();
    let until = truth.head.options.start + 4 * 3600;
    let mut keys = KeyRing::default();
    for file in std::fs::read_dir(root.join("public-keys")).unwrap() {
        assert_eq!(load_key_file(&file.unwrap().path(), &mut keys).unwrap(), [""; 0]);
    }
    let keys = Keys::new(keys, None);
    Verification::find(sources, VerifyRequest { until: Some(until), ..request }).await.run(&keys, None).await
}

#[test]
fn nothing_to_verify_and_no_keys_are_said() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("buckets/empty")).unwrap();
    std::fs::create_dir_all(root.path().join("public-keys")).unwrap();
    let output = verify(root.path(), &[]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8(output.stdout).unwrap().contains("No digests found"));

    let root = tempfile::tempdir().unwrap();
    tree(root.path(), Options { accounts: 1, regions: 1, hours: 2, ..Options::default() });
    std::fs::remove_dir_all(root.path().join("public-keys")).unwrap();
    std::fs::create_dir_all(root.path().join("public-keys")).unwrap();
    let output = verify(root.path(), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(69), "without keys nothing is known, and nobody accused");
    assert!(problems(&json(&output)).iter().any(|(_, outcome, _)| outcome == "no-keys"));
}

/// A store that refuses to hand out some objects.
#[derive(Debug)]
struct Denying {
    inner: FolderStore,
    denied: Vec<String>,
}

#[async_trait]
impl ObjectStore for Denying {
    fn url(&self) -> &str {
        self.inner.url()
    }
    async fn list(&self, request: &ListRequest) -> Result<ListPage, StoreError> {
        self.inner.list(request).await
    }
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
        self.inner.head(key).await
    }
    async fn get(&self, key: &str, options: GetOptions) -> Result<GetObject, StoreError> {
        if self.denied.iter().any(|denied| denied == key) {
            return Err(StoreError::new(ErrorKind::Denied, "read object", key, "denied by the test"));
        }
        self.inner.get(key, options).await
    }
    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<ObjectMeta, StoreError> {
        self.inner.put(key, body, options).await
    }
    async fn begin_upload(&self, key: &str, options: &PutOptions) -> Result<String, StoreError> {
        self.inner.begin_upload(key, options).await
    }
    async fn put_part(&self, key: &str, upload: &str, number: u32, body: Bytes) -> Result<Part, StoreError> {
        self.inner.put_part(key, upload, number, body).await
    }
    async fn seal_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.inner.seal_upload(key, upload, parts).await
    }
    async fn complete_upload(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StoreError> {
        self.inner.complete_upload(key, upload, parts).await
    }
    async fn holds(&self, key: &str, parts: &[Part]) -> Result<bool, StoreError> {
        self.inner.holds(key, parts).await
    }
    async fn abort_upload(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.inner.abort_upload(key, upload).await
    }
    async fn list_uploads(&self, prefix: &str, limit: usize) -> Result<Vec<UploadRef>, StoreError> {
        self.inner.list_uploads(prefix, limit).await
    }
}
