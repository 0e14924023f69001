//! An attack on a bucket that keeps versions: what was overwritten or deleted is told with the versions that are
//! still there, and what digests name is hauled from them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trailhaul_tests::org::Options;
use trailhaul_tests::tamper::Act;
use trailhaul_tests::truth::Object as Log;

use crate::asked::{Asked, Wanted, check_accused};
use crate::attack::{Laid, check, config, url};
use crate::cloud::{Cloud, keep_versions};
use crate::running::Running;
use crate::tree::finish;
use crate::veil::{Object, Veil};
use crate::{in_front, write};

/// The noncurrent versions of an object, the newest first.
async fn versions(cloud: &Cloud, (bucket, key): &Object) -> Vec<String> {
    let listed = cloud.owner_of(bucket).list_object_versions().bucket(bucket).prefix(key);
    let listed = listed.send().await.unwrap();
    let older = listed.versions().iter().filter(|version| version.is_latest() == Some(false));
    older.map(|version| version.version_id().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_versions_are_told_and_originals_are_hauled_from_them() {
    let options = Options { seed: 64, accounts: 5, regions: 1, hours: 6, rate: 20, ..Options::default() };
    let Some(Laid { mut cloud, mut tamperer }) = Laid::start(&options).await else { return };
    let proxy = in_front(&mut cloud);
    let genuine = tamperer.truth.objects.clone();
    let effect = tamperer.act(Act::ChangeLog).unwrap().effects.remove(0);
    let overwritten: Object = (effect.bucket, effect.key);
    // The original is still there, as an older version: its events are genuine.
    let original =
        genuine.into_iter().find(|log| (&log.bucket, &log.key) == (&overwritten.0, &overwritten.1));
    let number = tamperer.truth.objects.len() as u64;
    tamperer.truth.objects.push(Log { number, ..original.unwrap() });
    // A log each of three other chains, of hours whose digests have followers.
    let mut victims = Vec::new();
    for chain in tamperer.integrity.untouched().into_iter().filter(|chain| chain.trail == 0).take(3) {
        let inner = &chain.digests[1..chain.digests.len() - 2];
        let number = inner.iter().find_map(|digest| digest.logs.first()).expect("another seed");
        let log = tamperer.log(*number).unwrap();
        victims.push((log.bucket.clone(), log.key.clone()));
    }
    let [old, young, both] = <[Object; 3]>::try_from(victims).expect("three chains");
    tamperer.finish().unwrap();
    let everything: BTreeSet<Object> = [&overwritten, &old, &young, &both].into_iter().cloned().collect();
    let veil = Veil::hang(&proxy, cloud.tree.path(""), everything.clone());
    // Until now the bucket kept no versions: what it holds has the version `null`.
    let bucket = overwritten.0.clone();
    let owner = cloud.owner_of(&bucket);
    keep_versions(&owner, &bucket).await;
    // The newest digests are due in an hour, and those of the victims hours ago.
    write(&cloud, "s3.yaml", &config(&cloud, 2 * 3_600));
    let mut running = Running::start(&cloud, "s3.yaml");
    let asked = Asked(|arguments: &[&str]| finish(cloud.command("s3.yaml", arguments)));
    running.until("it hauls", || asked.objects() > 0);

    cloud.put(&bucket, &overwritten.1).await;
    cloud.delete(&bucket, &old.1).await;
    owner.delete_object().bucket(&bucket).key(&young.1).version_id("null").send().await.unwrap();
    cloud.put(&bucket, &young.1).await;
    cloud.delete(&bucket, &young.1).await;
    owner.put_object().bucket(&bucket).key(&both.1).body(b"forged".to_vec().into()).send().await.unwrap();
    cloud.delete(&bucket, &both.1).await;
    let mut kept = BTreeMap::new();
    for object in &everything {
        kept.insert(url(object), versions(&cloud, object).await);
    }
    let counts: Vec<usize> = [&overwritten, &old, &young, &both].map(|o| kept[&url(o)].len()).to_vec();
    assert_eq!(counts, [1, 1, 1, 2], "{kept:?}");
    assert_eq!(kept[&url(&old)], ["null"]);
    veil.lift_but(&[]);

    let mut wanted: BTreeSet<Wanted> = BTreeSet::new();
    for object in &everything {
        let kind = if *object == overwritten { "log_mismatch" } else { "log_missing" };
        wanted.extend([kind, "log_noncurrent"].map(|kind| (kind.to_owned(), url(object))));
    }
    running.until("all is found", || wanted.is_subset(&asked.found()));
    running.until("what was deleted is hauled from the version that digests name", || {
        [&old, &young, &both].into_iter().all(|(_, key)| asked.verdict(key) == "verified")
    });
    running.until_whole(&cloud, "trails", &[]).await;

    // The lane tells of the two contents of the overwritten one, whichever it hauls later.
    let (rewritten, findings): (Vec<Value>, Vec<Value>) =
        asked.findings().into_iter().partition(|finding| finding["kind"] == "object_rewritten");
    assert!(rewritten.iter().all(|finding| finding["subject"] == url(&overwritten)), "{rewritten:#?}");
    check_accused(&findings, &wanted);
    for finding in findings.iter().filter(|finding| finding["kind"] == "log_noncurrent") {
        let told = finding["details"]["noncurrent"].as_array().unwrap().iter();
        let told: Vec<&str> = told.map(|version| version["version"].as_str().unwrap()).collect();
        assert_eq!(told, kept[finding["subject"].as_str().unwrap()], "{finding:#}");
    }
    let ran = running.stop();
    assert_eq!(ran.code, Some(1), "findings are open: {ran:?}");
    check(&cloud, &proxy).await;
}
