//! A lake of Parquet files in a bucket of its own, beside the home archive: the same events, each once, also after
//! kills while its files are uploaded and finished.

use std::collections::BTreeMap;
use std::fs;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::Value;
use trailhaul_core::model::{Entry, EntryBody, Place};
use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::{Proxy, Request};

use crate::cloud::{Cloud, HOME, make_bucket, s3};
use crate::kills::{When, run_and_kill};
use crate::tree::{files, finish};
use crate::{ONCE, behind_a_proxy, write};

const LAKE: &str = "org-data-lake";
const HERE: &str = "us-east-1";

/// An event, as both the archive and the lake tell it: id, time in milliseconds, account. With how often it is there.
type Events = BTreeMap<(String, i64, String), u64>;

/// A cloud with a bucket for the lake.
async fn with_a_lake(seed: u64) -> Option<(Cloud, Proxy)> {
    let options = Options { seed, accounts: 3, regions: 2, hours: 2, rate: 20, ..Options::default() };
    let (cloud, proxy) = behind_a_proxy(&options).await?;
    make_bucket(&s3(&cloud.emulator.endpoint(), HOME, HERE), LAKE, HERE).await;
    proxy.own(LAKE, HOME);
    Some((cloud, proxy))
}

/// Writes the configuration of a run with an archive, a lake prefix and a state folder of its own; its name.
fn configure(cloud: &Cloud, run: &str) -> String {
    let sink = format!(
        "  lake:\n    type: archive\n    bucket: s3://{LAKE}/{run}\n    owner: \"{HOME}\"\n    format: ocsf-1.5\n    \
         encoding: parquet\n"
    );
    let text = cloud.config(run, "\n    lanes: 1").replace("/state\n", &format!("/state-{run}\n"));
    let config = format!("{run}.yaml");
    write(cloud, &config, &text.replace("state:\n", &format!("{sink}state:\n")));
    config
}

/// The lake's files below a run's prefix.
async fn lake_files(cloud: &Cloud, run: &str) -> BTreeMap<String, Vec<u8>> {
    let client = s3(&cloud.emulator.endpoint(), HOME, HERE);
    let mut pages = client.list_objects_v2().bucket(LAKE).prefix(format!("{run}/")).into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        for key in page.unwrap().contents().iter().filter_map(|object| object.key()) {
            let object = client.get_object().bucket(LAKE).key(key).send().await.unwrap();
            found.insert(key.to_owned(), object.body.collect().await.unwrap().into_bytes().to_vec());
        }
    }
    found
}

/// The lake's outputs that the journal names, with their records. The archive was fetched before.
fn named(cloud: &Cloud) -> BTreeMap<String, u64> {
    let mut named = BTreeMap::new();
    let entries = files(&cloud.tree.path("archive/journal"));
    for path in entries.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let EntryBody::Batch(batch) = Entry::from_bytes(&fs::read(path).unwrap()).unwrap().body else {
            continue;
        };
        for output in batch.outputs.into_iter().filter(|output| output.sink == "lake") {
            let Place::Upload { key, .. } = output.place else { panic!("{:?}", output.place) };
            named.insert(key, output.records);
        }
    }
    named
}

/// The events of the home archive, which was fetched before.
fn archived(cloud: &Cloud) -> Events {
    let mut events = Events::new();
    for path in files(&cloud.tree.path("archive/data")) {
        let text = zstd::decode_all(fs::File::open(&path).unwrap()).unwrap();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_slice(line).unwrap();
            // Aggregations have other names for all three; the oldest records have neither id nor account.
            let text = |places: [&str; 2]| {
                let found = places.iter().find_map(|place| record.pointer(place)?.as_str());
                found.unwrap_or_default().to_owned()
            };
            let time: jiff::Timestamp = text(["/eventTime", "/timeWindow/windowStart"]).parse().unwrap();
            let account = text(["/recipientAccountId", "/accountId"]);
            let key = (text(["/eventID", "/eventId"]), time.as_millisecond(), account);
            *events.entry(key).or_default() += 1;
        }
    }
    events
}

fn field<'r>(row: &'r Row, name: &str) -> &'r Field {
    row.get_column_iter().find(|(column, _)| *column == name).unwrap().1
}

fn text(row: &Row, name: &str) -> String {
    match field(row, name) {
        Field::Str(text) => text.clone(),
        Field::Null => String::new(),
        other => panic!("{name}: {other}"),
    }
}

fn group<'r>(row: &'r Row, name: &str) -> Option<&'r Row> {
    match field(row, name) {
        Field::Group(group) => Some(group),
        Field::Null => None,
        other => panic!("{name}: {other}"),
    }
}

/// The events of a Parquet file.
fn events_of(file: Vec<u8>) -> Vec<(String, i64, String)> {
    assert_eq!(file.get(..4), Some(b"PAR1".as_slice()));
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    let event = |row: Row| {
        let Field::Long(time) = field(&row, "time") else { panic!("no time") };
        let account = group(&row, "cloud").and_then(|cloud| group(cloud, "account"));
        let account = account.map(|account| text(account, "uid")).unwrap_or_default();
        (text(group(&row, "metadata").unwrap(), "uid"), *time, account)
    };
    reader.get_row_iter(None).unwrap().map(|row| event(row.unwrap())).collect()
}

/// The lake holds the archive's events, each as often; each file has its folder's account, is an output of one
/// batch and has that output's records; no upload is left. The files.
async fn check_lake(cloud: &Cloud, run: &str, context: &str) -> usize {
    let (named, files) = (named(cloud), lake_files(cloud, run).await);
    assert_eq!(named.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{context}");
    let (count, mut found) = (files.len(), Events::new());
    for (key, file) in files {
        assert!(key.starts_with(&format!("{run}/ext/trailhaul-")), "{context}: {key}");
        let events = events_of(file);
        assert_eq!(events.len() as u64, named[&key], "{context}: {key}");
        for event in events {
            let here = event.2.is_empty() || key.contains(&format!("/accountId={}/", event.2));
            assert!(here, "{context}: {event:?} in {key}");
            *found.entry(event).or_default() += 1;
        }
    }
    let expected = archived(cloud);
    assert!(expected.values().sum::<u64>() > 100, "{context}: the case is too small");
    assert_eq!(found, expected, "{context}");
    let client = s3(&cloud.emulator.endpoint(), HOME, HERE);
    let uploads =
        client.list_multipart_uploads().bucket(LAKE).prefix(format!("{run}/")).send().await.unwrap();
    assert!(uploads.uploads().is_empty(), "{context}: {:?}", uploads.uploads());
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_over_s3_holds_the_archive_s_events() {
    let Some((cloud, proxy)) = with_a_lake(61).await else { return };
    let config = configure(&cloud, "lake");
    let ran = finish(cloud.command(&config, &ONCE));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cloud.fetch_archive("lake").await;
    cloud.tree.check_truth("beside a lake");
    let count = check_lake(&cloud, "lake", "a clean run").await;
    println!("{count} files");
    assert!(count > 5, "the case is too small: {count} files");
    let second = finish(cloud.command(&config, &ONCE));
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(check_lake(&cloud, "lake", "a second run").await, count);
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

/// Kills at the lake's own requests: before its files are in the journal they come to nothing, after that they are
/// finished from the entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_over_s3_survives_kills() {
    let Some((cloud, proxy)) = with_a_lake(62).await else { return };
    let kills = [
        ("UploadPart", 2, When::After),
        ("CompleteMultipartUpload", 1, When::Before),
        ("CompleteMultipartUpload", 3, When::Before),
        ("CompleteMultipartUpload", 3, When::After),
    ];
    for (at, (operation, number, when)) in kills.into_iter().enumerate() {
        let (run, context) = (format!("kill-{at}"), format!("killed {when:?} {operation} {number}"));
        let config = configure(&cloud, &run);
        let of_the_lake = move |request: &Request| request.bucket == LAKE && request.operation == operation;
        let hit = run_and_kill(&cloud, &proxy, &config, of_the_lake, number, when);
        assert!(hit.is_some(), "{context}: there is no such request");
        // Nothing stands in the lake that the journal does not name.
        cloud.fetch_what_is_there(&run).await;
        let (named, before) = (named(&cloud), lake_files(&cloud, &run).await);
        assert!(before.keys().all(|key| named.contains_key(key)), "{context}: {:?}", before.keys());
        if when == When::Before {
            assert!(named.len() > before.len(), "{context}: nothing is left to be finished");
        }
        let again = finish(cloud.command(&config, &ONCE));
        assert_eq!(again.code, Some(0), "{context}: {again:?}");
        cloud.fetch_archive(&run).await;
        cloud.tree.check_truth(&context);
        cloud.tree.check_nothing_uncommitted_below(&format!("{run}/"), &context);
        let whole = check_lake(&cloud, &run, &context).await;
        println!("{context}: {} of {} files stood, {whole} in the end", before.len(), named.len());
    }
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}
