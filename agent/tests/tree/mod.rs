//! A simulated organization on disk, and the real program run over it.

#![allow(dead_code, clippy::disallowed_methods, reason = "each test binary uses its part")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trailhaul_core::model::{Entry, EntryBody, Place};
use trailhaul_tests::compare::compare;
use trailhaul_tests::config_yaml::{ConfigOptions, config_yaml};
use trailhaul_tests::damage::{self, Damage, Sizes};
use trailhaul_tests::digests;
use trailhaul_tests::org::{Options, Organization};
use trailhaul_tests::{delivery, model, truth};

/// A tree, its configuration and the archive that comes of it.
pub(crate) struct Tree {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: String,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn number(&self, path: &str) -> u64 {
        self.json()
            .pointer(path)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("{path}: {self:?}"))
    }
}

impl Tree {
    pub(crate) fn simulate(options: &Options, damages: &[Damage], sizes: Sizes) -> Self {
        // In memory where there is a place for it: what is tested is the order of steps, not the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (organization, mut tree) = delivery::simulate(folder.path(), options).unwrap();
        damage::add(&mut tree, &organization, options, damages, sizes).unwrap();
        tree.finish().unwrap();
        Self::with(folder, &organization)
    }

    pub(crate) fn with(folder: tempfile::TempDir, organization: &Organization) -> Self {
        let options = ConfigOptions { root: folder.path(), integrity: "off", memory: None, public_keys: &[] };
        let config = config_yaml(organization, &options);
        let tree = Self { folder, config };
        tree.write_config(&tree.config);
        tree
    }

    /// A simulation that ends about two hours ago, with signed digests of which the newest are three quarters of an
    /// hour to an hour and three quarters old, and a configuration that follows them.
    pub(crate) fn digested(options: &Options) -> Self {
        const HOUR: i64 = 3_600;
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let now = jiff::Timestamp::now().as_second();
        // The last delivery is some minutes after the last event, and the last digest one to two hours later.
        let start = now - (i64::from(options.hours) * HOUR + 2 * HOUR + 2_700);
        let options = Options { start, ..options.clone() };
        let (organization, written) = delivery::simulate(folder.path(), &options).unwrap();
        written.finish().unwrap();
        let mut truth = truth::read(&folder.path().join("truth.ndjson")).unwrap();
        digests::add(folder.path(), &mut truth, &folder.path().join(digests::KEYS)).unwrap();
        let keys = digests::public_key_files(folder.path(), &organization.regions);
        let options =
            ConfigOptions { root: folder.path(), integrity: "attest", memory: None, public_keys: &keys };
        let config = config_yaml(&organization, &options);
        let tree = Self { folder, config };
        tree.write_config(&tree.config);
        tree
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_config(&self, text: &str) {
        fs::write(self.path("trailhaul.yaml"), text).unwrap();
    }

    /// The command with this tree's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_with("trailhaul.yaml", arguments)
    }

    pub(crate) fn command_with(&self, config: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailhaul"));
        command.arg("--config").arg(self.path(config)).args(arguments);
        command.env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    pub(crate) fn run_with(&self, config: &str, arguments: &[&str]) -> Ran {
        finish(self.command_with(config, arguments))
    }

    pub(crate) fn once(&self) -> Ran {
        self.run(&["--output", "json", "run", "--once"])
    }

    /// The archive equals the truth: every record once, byte for byte.
    pub(crate) fn check_truth(&self, context: &str) {
        let truth = truth::read(&self.path("truth.ndjson")).unwrap();
        let expected = model::expected_at_once(&truth, model::WINDOW);
        let differences = compare(&truth, &expected, &self.path("archive")).unwrap();
        assert!(differences.is_empty(), "{context}: {differences:#?}");
    }

    /// Whether the archive has what the objects outside these buckets hold, and nothing else; else what differs.
    pub(crate) fn differs_without(&self, buckets: &[&str]) -> Option<String> {
        let truth = truth::read(&self.path("truth.ndjson")).unwrap();
        let reached = |object: &truth::Object| (!buckets.contains(&object.bucket.as_str())).then_some(0);
        let expected = model::expected(&truth, reached, model::WINDOW);
        let differences = compare(&truth, &expected, &self.path("archive")).unwrap();
        (!differences.is_empty()).then(|| format!("{differences:#?}"))
    }

    /// Everything visible below data/, index/ and quarantine/ is named by a batch entry of the journal.
    pub(crate) fn check_nothing_uncommitted(&self, context: &str) {
        self.check_nothing_uncommitted_below("", context);
    }

    /// The same for an archive whose keys begin with `prefix`.
    pub(crate) fn check_nothing_uncommitted_below(&self, prefix: &str, context: &str) {
        let archive = self.path("archive");
        let mut named = BTreeSet::new();
        for path in files(&archive.join("journal")) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let entry = Entry::from_bytes(&fs::read(&path).unwrap()).unwrap();
            let EntryBody::Batch(batch) = entry.body else { continue };
            batch.check_books().unwrap();
            for output in batch.outputs {
                if let Place::Upload { key, .. } = output.place {
                    named.insert(key);
                }
            }
        }
        for folder in ["data", "index", "quarantine"] {
            for path in files(&archive.join(folder)) {
                let key = path.strip_prefix(&archive).unwrap().to_str().unwrap();
                let key = format!("{prefix}{key}");
                assert!(named.contains(&key), "{context}: {key} is visible and in no entry");
            }
        }
    }

    /// Every file of the archive, with its size.
    pub(crate) fn archive_files(&self) -> BTreeSet<(PathBuf, u64)> {
        let all = files(&self.path("archive"));
        all.into_iter().map(|path| (path.clone(), fs::metadata(&path).unwrap().len())).collect()
    }
}

pub(crate) fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All files below a folder; none where it is not there. Files in work are left out.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with(".trailhaul") {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found
}

/// Waits for the child, at most `limit`; kills it after that.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if began.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
