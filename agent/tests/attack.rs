//! An attack on a running agent: what is deleted, changed, planted and forged while it runs is found, nobody else
//! is accused, and every genuine event that still exists is in the archive, also where no listing shows it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod asked;
mod tree;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use trailhaul_tests::digests::{Chain, Integrity};
use trailhaul_tests::org::{Carries, Options};
use trailhaul_tests::tamper::{Act, Tamperer};
use trailhaul_tests::truth::{Object, Truth};

use asked::{Asked, Wanted, check_accused, foreign};
use tree::{Ran, Tree, signal, wait};

/// How long a condition may take to hold on a slow machine.
const PATIENCE: Duration = Duration::from_secs(240);

const HOUR: i64 = 3_600;

#[test]
fn an_attack_on_a_running_agent_is_found_and_every_genuine_event_arrives() {
    // Mostly more than one day: the agent lists the folder of today before that of yesterday.
    let options = Options { seed: 61, accounts: 7, regions: 2, hours: 16, rate: 30, ..Options::default() };
    println!("seed {}", options.seed);
    let mut tree = Tree::digested(&options);
    let attack = Attack::prepare(&tree);
    let rules = format!("  mode: attest\n  grace: {}s\n  extra_after: 1s\n", attack.grace);
    let paces = "tail:\n  interval: 1s\n  max_interval: 2s\n  look_back: 2d\nbatch:\n  age: 1s\n";
    tree.config = tree.config.replace("  mode: attest\n", &rules) + paces;
    tree.write_config(&tree.config);
    let mut agent = Running::start(&tree);
    let asked = asked(&tree);

    // It has walked all buckets, and nobody is accused of what the digests will say.
    agent.until("it hauls what is there", || asked.objects() >= attack.there);
    assert!(asked.found().is_subset(&attack.foreign), "{:#?}", asked.findings());

    attack.strike();
    agent.until("the attack is found", || attack.wanted.is_subset(&asked.found()));
    agent.until("what no listing shows is hauled", || {
        attack.hidden.iter().all(|object| asked.verdict(&object.key) == "verified")
    });

    let planted = attack.plant();
    agent.until("the planted log is found", || asked.found().contains(&planted));

    agent.until("the stranger's folder is found", || attack.foreign.is_subset(&asked.found()));
    let mut touched = attack.wanted.clone();
    touched.extend(attack.foreign.iter().cloned());
    touched.insert(planted);
    check_accused(&asked.findings(), &touched);
    let log = agent.stop();
    for object in &attack.hidden {
        let healed = log.lines().any(|line| {
            line.contains("a digest names a log file that no listing has shown") && line.contains(&object.key)
        });
        assert!(healed, "{} came with a listing", object.key);
    }
    tree.check_truth("attacked");
    tree.check_nothing_uncommitted("attacked");
}

/// An attack whose traces wait outside the buckets until the agent runs.
struct Attack {
    root: PathBuf,
    /// Findings about logs and digests that must come of the strike.
    wanted: BTreeSet<Wanted>,
    /// The finding about a folder that is there from the beginning.
    foreign: BTreeSet<Wanted>,
    /// Files and folders that come with the strike, in this order.
    withheld: Vec<PathBuf>,
    /// The log that is planted last, when digests have told what there is.
    planted: (PathBuf, Wanted),
    /// Logs in a folder that no walk of the bucket has shown.
    hidden: Vec<Object>,
    /// How many logs are there from the beginning.
    there: u64,
    /// `integrity.grace`, in seconds: over for the deleted digests, and for no other hour.
    grace: i64,
}

impl Attack {
    fn prepare(tree: &Tree) -> Self {
        let root = tree.folder.path();
        let mut tamperer = Tamperer::open(root).unwrap();
        let mut attack = Self {
            root: root.to_owned(),
            wanted: BTreeSet::new(),
            foreign: BTreeSet::new(),
            withheld: Vec::new(),
            planted: Default::default(),
            hidden: Vec::new(),
            there: 0,
            grace: 0,
        };
        tamperer.forget_backfill().unwrap();
        attack.tamper(&mut tamperer);
        let (truth, integrity) = tamperer.finish().unwrap();
        attack.silence(&integrity);
        attack.hide(&truth, &integrity);
        attack.withhold_digests(&truth);
        let logs = truth.objects.iter().filter(|o| o.family.folder() != "CloudTrail-Digest");
        let keys: BTreeSet<PathBuf> =
            logs.filter(|o| o.trail.is_some()).map(|o| attack.path(&o.bucket, &o.key)).collect();
        attack.there = keys.iter().filter(|path| path.exists()).count() as u64;
        attack
    }

    fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join("buckets").join(bucket).join(key)
    }

    fn url(&self, bucket: &str, key: &str) -> String {
        format!("file://{}", self.path(bucket, key).display())
    }

    fn tamper(&mut self, tamperer: &mut Tamperer<'_>) {
        let acts = [
            (Act::PlantLog, "log_extra"),
            (Act::DeleteLog, "log_missing"),
            (Act::DeleteLog, "log_missing"),
            (Act::ChangeLog, "log_mismatch"),
            (Act::WrongKey, "digest_invalid"),
            (Act::ChangeDigest, "digest_invalid"),
            (Act::PlantAccount, "foreign_account"),
        ];
        for (act, kind) in acts {
            for effect in tamperer.act(act).unwrap().effects {
                let path = self.path(&effect.bucket, &effect.key);
                let wanted = (kind.to_owned(), self.url(&effect.bucket, &effect.key));
                match act {
                    Act::PlantLog => self.planted = (path, wanted),
                    Act::PlantAccount => {
                        let folder = effect.key.split_once("/CloudTrail/").unwrap().0;
                        self.foreign.insert(foreign(folder));
                    }
                    Act::ChangeLog => {
                        self.withheld.push(path);
                        self.wanted.insert(wanted);
                    }
                    _ => {
                        self.wanted.insert(wanted);
                    }
                }
            }
        }
        stage(&self.planted.0);
    }

    /// Deletes the newest two digests of an untouched chain, the one that is due first.
    fn silence(&mut self, integrity: &Integrity) {
        let end = |chain: &Chain| chain.digests.last().unwrap().end;
        let chain = integrity.untouched().into_iter().min_by_key(|chain| end(chain)).unwrap();
        let now = jiff::Timestamp::now().as_second();
        self.grace = now - end(chain) - HOUR / 4;
        let first = integrity.chains.iter().map(end).min().unwrap();
        let left = first + HOUR + self.grace - now;
        assert!(left > HOUR / 4, "another seed: the next digest of another chain is due in {left} seconds");
        for digest in chain.digests.iter().rev().take(2) {
            fs::remove_file(self.path(&digest.bucket, &digest.key)).unwrap();
            self.wanted.insert(("digest_missing".to_owned(), self.url(&digest.bucket, &digest.key)));
        }
    }

    /// Takes a region's whole folder of logs away, until all buckets have been walked: the next walk is an hour later.
    fn hide(&mut self, truth: &Truth, integrity: &Integrity) {
        let trails = &truth.head.organization.trails;
        for chain in integrity.untouched().into_iter().rev() {
            let trail = &trails[chain.trail];
            let alone =
                trails.iter().filter(|t| (&t.bucket, &t.prefix) == (&trail.bucket, &trail.prefix)).count()
                    == 1;
            let is_silenced = self.wanted.contains(&("digest_missing".to_owned(), {
                let last = chain.digests.last().unwrap();
                self.url(&last.bucket, &last.key)
            }));
            let logs = truth.objects.iter().filter(|object| {
                let here = object.account == chain.account && object.region == chain.region;
                object.trail == Some(chain.trail) && here && object.family.folder() == "CloudTrail"
            });
            let logs: Vec<Object> = logs.cloned().collect();
            if !alone || is_silenced || logs.is_empty() || trail.carries != Carries::Organization {
                continue;
            }
            let folder = self.path(&logs[0].bucket, &logs[0].key);
            self.withheld.push(folder.ancestors().nth(4).unwrap().to_owned());
            self.hidden = logs;
            break;
        }
        assert!(!self.hidden.is_empty(), "another seed: no chain is left");
        self.withheld.iter().for_each(|path| stage(path));
    }

    /// Takes all digests away, and leaves their folders to the walk. Those of a folder come back in one step, so that
    /// no chain is ever seen with a hole.
    fn withhold_digests(&mut self, truth: &Truth) {
        let digests = truth.objects.iter().filter(|o| o.family.folder() == "CloudTrail-Digest");
        let years: BTreeSet<PathBuf> = digests
            .map(|digest| self.path(&digest.bucket, &digest.key).ancestors().nth(3).unwrap().to_owned())
            .filter(|year| year.exists())
            .collect();
        for year in years {
            stage(&year);
            fs::write(year.with_file_name("placeholder"), "").unwrap();
            self.withheld.push(year);
        }
    }

    fn strike(&self) {
        self.withheld.iter().for_each(|path| unstage(path));
    }

    fn plant(&self) -> Wanted {
        unstage(&self.planted.0);
        self.planted.1.clone()
    }
}

/// Where something waits that is not in the buckets yet: on the same file system, so that it comes in one step.
fn waiting(path: &Path) -> PathBuf {
    PathBuf::from(path.to_str().unwrap().replacen("/buckets/", "/waiting/", 1))
}

fn stage(path: &Path) {
    let there = waiting(path);
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    fs::rename(path, there).unwrap();
}

fn unstage(path: &Path) {
    fs::rename(waiting(path), path).unwrap();
}

/// A running agent, ended with the test.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(tree: &Tree) -> Self {
        let log = tree.path("agent.log");
        let mut command = tree.command(&["run"]);
        command.env("RUST_LOG", "info").stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    /// Waits until it holds.
    fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            let log = || fs::read_to_string(&self.log).unwrap();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: the agent has ended: {ended:?}\n{}", log());
            assert!(began.elapsed() < PATIENCE, "{what}: does not come to hold\n{}", log());
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Stops it; what it has told.
    fn stop(mut self) -> String {
        signal(&self.child, rustix::process::Signal::TERM);
        let status = wait(&mut self.child, PATIENCE).expect("the agent ends");
        let log = fs::read_to_string(&self.log).unwrap();
        assert_eq!(status.code(), Some(1), "findings are open\n{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asked(tree: &Tree) -> Asked<impl Fn(&[&str]) -> Ran> {
    Asked(|arguments: &[&str]| tree.run(arguments))
}
