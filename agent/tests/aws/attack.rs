//! An attack on a running agent over S3: what is deleted, changed, planted, copied and forged while it runs is found,
//! nobody else is accused, and every genuine event is in the archive, also where listings skip it.
//!
//! ministack, because it compares `If-Match` and creates conditionally in one step, keeps times below a second, and
//! is several times as quick as moto; both keep versions as S3 does. Neither knows ListPublicKeys nor lies in
//! listings: the [`Veil`] does.

use std::collections::BTreeSet;

use trailhaul_tests::digests::Chain;
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::org::{Account, Options, Trail};
use trailhaul_tests::proxy::Proxy;
use trailhaul_tests::tamper::{Act, Copied, Effect, Tamperer, Verdict};
use trailhaul_tests::truth::Object as Log;

use crate::asked::{Asked, Wanted, check_accused, foreign};
use crate::cloud::Cloud;
use crate::running::Running;
use crate::tree::{Tree, finish};
use crate::veil::{Object, Veil};
use crate::{in_front, write};

const HOUR: i64 = 3_600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attack_over_s3_is_found_and_every_genuine_event_arrives() {
    let options = Options { seed: 63, accounts: 7, regions: 2, hours: 6, rate: 20, ..Options::default() };
    let Some(Laid { mut cloud, mut tamperer }) = Laid::start(&options).await else { return };
    let proxy = in_front(&mut cloud);
    let mut attack = Attack::default();
    attack.tamper(&mut tamperer);
    attack.silence(&mut tamperer);
    attack.skip(&tamperer);
    attack.plant(&mut tamperer);
    attack.count(&tamperer);
    tamperer.finish().unwrap();
    for (bucket, key) in &attack.early {
        cloud.put(bucket, key).await;
    }
    let veil = Veil::hang(&proxy, cloud.tree.path(""), attack.withheld.clone());
    veil.skip(attack.skipped.iter().chain(&attack.skipped_digest).cloned());
    write(&cloud, "s3.yaml", &config(&cloud, attack.grace));
    let mut running = Running::start(&cloud, "s3.yaml");
    let asked = Asked(|arguments: &[&str]| finish(cloud.command("s3.yaml", arguments)));

    running.until("it hauls what is there", || asked.objects() >= attack.there);
    running.until("strangers' folders are found", || attack.foreign.is_subset(&asked.found()));
    assert_eq!(asked.found(), attack.foreign, "nobody is accused of what the digests will say");

    let verified = |keys: &BTreeSet<String>| keys.iter().all(|key| asked.verdict(key) == "verified");
    attack.strike(&cloud, &attack.blows).await;
    veil.lift_but(&attack.late_folders);
    running.until("the attack is found", || attack.wanted.is_subset(&asked.found()));
    running.until("digests vouch for what listings skip", || verified(&attack.vouched));
    attack.strike(&cloud, &attack.plants).await;
    running.until("what was planted and copied is found", || attack.extra.is_subset(&asked.found()));
    veil.lift_but(&[]);
    running.until("digests vouch for what was copied or falsely accused", || verified(&attack.late));
    running.until_whole(&cloud, "trails", &[]).await;

    let all = [&attack.wanted, &attack.extra, &attack.foreign];
    let touched: BTreeSet<Wanted> = all.into_iter().flatten().cloned().collect();
    check_accused(&asked.findings(), &touched);
    let ran = running.stop();
    assert_eq!(ran.code, Some(1), "findings are open: {ran:?}");
    for (_, key) in &attack.skipped {
        let healed = ran.stderr.lines().any(|line| {
            line.contains("a digest names a log file that no listing has shown") && line.contains(key)
        });
        assert!(healed, "{key} came with a listing");
    }
    check(&cloud, &proxy).await;
}

/// What must hold after any attack: the archive has the truth, and every request expected the bucket's owner.
pub(crate) async fn check(cloud: &Cloud, proxy: &Proxy) {
    cloud.fetch_archive("trails").await;
    cloud.tree.check_truth("attacked");
    cloud.tree.check_nothing_uncommitted_below("trails/", "attacked");
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

/// A configuration that follows digests with this grace (seconds), is quick, and asks CloudTrail for its keys.
pub(crate) fn config(cloud: &Cloud, grace: i64) -> String {
    let text = cloud.config("trails", "");
    let rules = format!("  mode: attest\n  grace: {grace}s\n  extra_after: 1s\n");
    let text = text.replace("  mode: attest\n", &rules).replace("  public_keys:\n", "");
    let lines = text.lines().filter(|line| !line.contains("/public-keys/"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{text}tail: {{interval: 1s, max_interval: 2s, look_back: 2d}}\nbatch: {{age: 1s}}\n")
}

pub(crate) fn url((bucket, key): &Object) -> String {
    format!("s3://{bucket}/{key}")
}

/// The genuine organization in buckets, and who will tamper with it.
pub(crate) struct Laid {
    pub(crate) cloud: Cloud,
    pub(crate) tamperer: Tamperer<'static>,
}

impl Laid {
    /// `None` where the emulator is not installed.
    pub(crate) async fn start(options: &Options) -> Option<Self> {
        println!("seed {}", options.seed);
        let emulator = Emulator::start(Kind::Ministack)?;
        let tree = Tree::digested(options);
        // A path, for as long as the test's process lives.
        let root: &'static std::path::Path = Box::leak(tree.path("").into_boxed_path());
        let mut tamperer = Tamperer::open(root).unwrap();
        tamperer.forget_backfill().unwrap();
        let cloud = Cloud::fill(Kind::Ministack, emulator, tree, "us-east-1").await;
        Some(Self { cloud, tamperer })
    }
}

/// What is done to the buckets.
enum Blow {
    /// As the object lies in the tree by then.
    Put(Object),
    Delete(Object),
}

#[derive(Default)]
struct Attack {
    /// Findings that must come of the strike.
    wanted: BTreeSet<Wanted>,
    /// Findings about folders that are there from the beginning.
    foreign: BTreeSet<Wanted>,
    /// Findings that must come of what is planted.
    extra: BTreeSet<Wanted>,
    /// What is in the buckets before the agent starts, besides what is genuine.
    early: Vec<Object>,
    blows: Vec<Blow>,
    /// Logs that no digest names, and of which the digests of their time have come: others would be undigested.
    plants: Vec<Blow>,
    /// Logs that the agent must not see before the strike.
    withheld: BTreeSet<Object>,
    /// Logs and a digest that no listing ever shows.
    skipped: BTreeSet<Object>,
    skipped_digest: Option<Object>,
    /// Keys of logs that digests must vouch for before anything is planted.
    vouched: BTreeSet<String>,
    /// The same, when the digests of these folders come, which are withheld until copies of the logs were hauled.
    late: BTreeSet<String>,
    late_folders: Vec<String>,
    /// How many logs are there before the strike, and listed.
    there: u64,
    /// `integrity.grace` in seconds: over for the deleted digests, and for no other hour.
    grace: i64,
    /// The chain that falls silent, and those whose listings skip: each account and region has its own trouble.
    taken: BTreeSet<(Account, String)>,
}

impl Attack {
    /// Two logs are deleted, one is changed, one is planted.
    fn tamper(&mut self, tamperer: &mut Tamperer<'_>) {
        let acts = [
            (Act::DeleteLog, "log_missing"),
            (Act::DeleteLog, "log_missing"),
            (Act::ChangeLog, "log_mismatch"),
            (Act::PlantLog, "log_extra"),
        ];
        for (act, kind) in acts {
            for effect in tamperer.act(act).unwrap().effects {
                if act == Act::PlantLog {
                    self.expect_digests(tamperer, &effect.key);
                    let object = want(&mut self.extra, kind, effect);
                    self.plants.push(Blow::Put(object));
                    continue;
                }
                let object = want(&mut self.wanted, kind, effect);
                self.withheld.insert(object.clone());
                let blow = if act == Act::DeleteLog { Blow::Delete } else { Blow::Put };
                self.blows.push(blow(object));
            }
        }
    }

    /// All digests of the organization's trail for the account and region of this key must have come first.
    fn expect_digests(&mut self, tamperer: &Tamperer<'_>, key: &str) {
        let is_of = |chain: &&Chain| {
            chain.trail == 0 && key.contains(&format!("/{}/CloudTrail/{}/", chain.account, chain.region))
        };
        let chain = tamperer.integrity.chains.iter().find(is_of).unwrap();
        self.vouched.extend(log_of_each(tamperer, chain));
    }

    /// The two newest digests of an untouched chain are deleted, of the one that is due first.
    fn silence(&mut self, tamperer: &mut Tamperer<'_>) {
        let end = |chain: &Chain| chain.digests.last().unwrap().end;
        let integrity = &tamperer.integrity;
        let member = member(tamperer).owner;
        let untouched = integrity.untouched().into_iter().filter(|chain| chain.account != member);
        let chain = untouched.min_by_key(|chain| end(chain)).unwrap();
        let now = jiff::Timestamp::now().as_second();
        self.grace = now - end(chain) - HOUR / 12;
        let first = integrity.chains.iter().map(end).min().unwrap();
        let left = first + HOUR + self.grace - now;
        assert!(left > HOUR / 3, "another seed: the next digest of another chain is due in {left} seconds");
        self.taken.insert((chain.account, chain.region.clone()));
        for digest in chain.digests.iter().rev().take(2) {
            let object = (digest.bucket.clone(), digest.key.clone());
            self.wanted.insert(("digest_missing".to_owned(), url(&object)));
            self.blows.push(Blow::Delete(object));
        }
    }

    /// Listings skip some logs of one chain, in folders that they show, and of another a digest in the middle.
    fn skip(&mut self, tamperer: &Tamperer<'_>) {
        let one = self.next_chain(tamperer, None);
        let logs: Vec<&Log> = logs(tamperer, &one).collect();
        assert!(logs.len() >= 6, "another seed: {} logs", logs.len());
        for log in logs.into_iter().step_by(3).take(8) {
            self.skipped.insert((log.bucket.clone(), log.key.clone()));
            self.vouched.insert(log.key.clone());
        }
        let two = self.next_chain(tamperer, None);
        let inner = &two.digests[1..two.digests.len() - 2];
        let digest = inner.iter().find(|digest| !digest.logs.is_empty()).expect("another seed");
        self.skipped_digest = Some((digest.bucket.clone(), digest.key.clone()));
        self.vouched.insert(tamperer.log(digest.logs[0]).unwrap().key.clone());
    }

    /// A member plants in a bucket of its own: copies of genuine logs, in its own folder before and after the genuine
    /// ones are hauled, one with other content under a genuine id; another account's folder; forged digests.
    fn plant(&mut self, tamperer: &mut Tamperer<'_>) {
        let member = member(tamperer);
        // From the third hour on: digests must cover some minutes before a log, or nobody calls it extra.
        let find = |trail: usize, account: Account| {
            let mut chains = tamperer.integrity.chains.iter();
            let region = &tamperer.truth.head.organization.regions[0];
            let chain = chains.find(|c| (c.trail, c.account, &c.region) == (trail, account, region)).unwrap();
            later(chain)
        };
        let trails = &tamperer.truth.head.organization.trails;
        let own_trail = trails.iter().position(|trail| *trail == member).unwrap();
        let own = find(own_trail, member.owner);
        let mine: Vec<Log> = logs(tamperer, &find(0, member.owner)).cloned().collect();
        // Of the same region, so that the copies lie in the member's own folder of it.
        let other = self.next_chain(tamperer, Some(&own.region));
        let theirs: Vec<Log> = logs(tamperer, &later(&other)).cloned().collect();
        assert!(mine.len() >= 3 && theirs.len() >= 4, "another seed: {} and {}", mine.len(), theirs.len());

        let mut copy = |log: &Log, account, copied| {
            let unique = format!("copied{:010}", log.number);
            tamperer.copy_log(log.number, (&member, account), &unique, copied).unwrap()
        };
        let copies = [
            // Hauled before the genuine ones, which only digests show, and those later.
            (&mine[0], Copied::Taken, true),
            (&mine[1], Copied::Altered, true),
            (&theirs[0], Copied::Taken, true),
            (&mine[2], Copied::Taken, false),
        ];
        for (log, copied, is_first) in copies {
            let object = want(&mut self.extra, "log_extra", copy(log, member.owner, copied));
            self.plants.push(Blow::Put(object));
            if is_first {
                self.skipped.insert((log.bucket.clone(), log.key.clone()));
                self.late.insert(log.key.clone());
            }
        }
        let Effect { bucket, key, .. } = copy(&theirs[1], other.account, Copied::Foreign);
        self.foreign.insert(foreign(key.split_once("/CloudTrail/").unwrap().0));
        self.early.push((bucket, key));

        let named: Vec<u64> = theirs.iter().skip(2).take(2).map(|log| log.number).collect();
        let middle = &own.digests[own.digests.len() / 2];
        let unknown = Trail { name: "unknown".to_owned(), ..member.clone() };
        for (trail, honest) in [(&member, false), (&unknown, true)] {
            let forged = tamperer.forge_digest((trail, member.owner), middle, &named, honest).unwrap();
            let kind = if forged.verdict == Verdict::UnknownKey { "key_unknown" } else { "digest_invalid" };
            let object = want(&mut self.wanted, kind, forged);
            self.early.push(object);
        }
        let forged = tamperer.forge_digest((&member, other.account), middle, &named, false).unwrap();
        self.early.push((forged.bucket, forged.key));
        self.late.extend(theirs.iter().skip(2).take(2).map(|log| log.key.clone()));
        let organization = &tamperer.truth.head.organization.id;
        for account in [member.owner, other.account] {
            let region = &other.region;
            self.late_folders.push(format!("{organization}/{account}/CloudTrail-Digest/{region}/"));
        }
        self.vouched.extend(log_of_each(tamperer, &own));
    }

    /// A chain of the organization's trail to which nothing was done yet; not of the member's.
    fn next_chain(&mut self, tamperer: &Tamperer<'_>, region: Option<&str>) -> Chain {
        let member = member(tamperer).owner;
        let place = |chain: &Chain| (chain.account, chain.region.clone());
        let mut chains = tamperer.integrity.untouched().into_iter();
        let is_free = |chain: &Chain| {
            let is_there = region.is_none_or(|region| region == chain.region);
            let is_new = chain.account != member && !self.taken.contains(&place(chain));
            chain.trail == 0 && is_there && is_new
        };
        let chain = chains.find(|chain| is_free(chain)).expect("another seed: no chain is left");
        self.taken.insert(place(chain));
        chain.clone()
    }

    /// What can be hauled before the strike: genuine logs that are listed.
    fn count(&mut self, tamperer: &Tamperer<'_>) {
        let logs = tamperer.truth.objects.iter().filter(|o| o.family.folder() != "CloudTrail-Digest");
        let objects = logs.map(|log| ((log.bucket.clone(), log.key.clone()), log));
        let seen: BTreeSet<Object> = objects
            .filter(|(object, log)| {
                let is_hidden = self.withheld.contains(object) || self.skipped.contains(object);
                // Of those that came with backfill digests no record is left.
                log.trail.is_some() && !is_hidden && log.count() > 0
            })
            .map(|(object, _)| object)
            .collect();
        self.there = seen.len() as u64;
    }

    async fn strike(&self, cloud: &Cloud, blows: &[Blow]) {
        for blow in blows {
            match blow {
                Blow::Put((bucket, key)) => cloud.put(bucket, key).await,
                Blow::Delete((bucket, key)) => cloud.delete(bucket, key).await,
            }
        }
    }
}

/// Notes a finding that must come; the object that it is about.
fn want(wanted: &mut BTreeSet<Wanted>, kind: &str, effect: Effect) -> Object {
    let object = (effect.bucket, effect.key);
    wanted.insert((kind.to_owned(), url(&object)));
    object
}

/// A log of each digest of a chain, by its key.
fn log_of_each(tamperer: &Tamperer<'_>, chain: &Chain) -> Vec<String> {
    let numbers = chain.digests.iter().filter_map(|digest| digest.logs.first());
    numbers.map(|number| tamperer.log(*number).unwrap().key.clone()).collect()
}

/// A chain without its first two digests.
fn later(chain: &Chain) -> Chain {
    Chain { digests: chain.digests[2..].to_vec(), ..chain.clone() }
}

/// The logs that a chain names, of the family that every trail writes.
fn logs<'t>(tamperer: &'t Tamperer<'_>, chain: &Chain) -> impl Iterator<Item = &'t Log> + use<'t> {
    let numbers: Vec<u64> = chain.digests.iter().flat_map(|digest| digest.logs.clone()).collect();
    let logs = numbers.into_iter().map(|number| tamperer.log(number).unwrap());
    logs.filter(|log| log.family.folder() == "CloudTrail")
}

/// The last member with a trail into a bucket of its own.
fn member(tamperer: &Tamperer<'_>) -> Trail {
    let trails = &tamperer.truth.head.organization.trails;
    trails.iter().rev().find(|trail| trail.name == "member.trail").unwrap().clone()
}
