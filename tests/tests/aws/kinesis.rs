//! The Kinesis producer: everything is delivered, whatever fails in between.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use trailhaul::aws::Aws;
use trailhaul::runtime::RetryPolicy;
use trailhaul::sinks::kinesis::{KinesisOptions, KinesisProducer, Record, WhyRefused};
use trailhaul::store::ErrorKind;
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::proxy::{Action, Answer, Proxy};

use crate::support;

struct Bench {
    producer: KinesisProducer,
    reader: Client,
    proxy: Proxy,
    _emulator: Emulator,
}

async fn bench(kind: Kind) -> Option<Bench> {
    let emulator = Emulator::start(kind)?;
    let direct = support::connect(&emulator.endpoint(), support::OWNER).await;
    let reader = Client::new(&direct.sdk_config(&direct.base(), None));
    reader.create_stream().stream_name("events").shard_count(1).send().await.unwrap();
    wait_until_active(&reader).await;
    let proxy = Proxy::start(emulator.address()).unwrap();
    let aws = support::connect(&proxy.endpoint(), support::OWNER).await;
    let producer = KinesisProducer::new(&aws, options(&aws));
    Some(Bench { producer, reader, proxy, _emulator: emulator })
}

fn options(aws: &Aws) -> KinesisOptions {
    let ms = Duration::from_millis;
    KinesisOptions {
        stream: "events".to_owned(),
        region: None,
        identity: aws.base(),
        retry: RetryPolicy::new(ms(1), ms(20), 2.0, 6, Duration::from_secs(20)).unwrap(),
        stop: CancellationToken::new(),
    }
}

async fn wait_until_active(reader: &Client) {
    for _ in 0..100 {
        let summary = reader.describe_stream_summary().stream_name("events").send().await.unwrap();
        let status =
            summary.stream_description_summary().map(|summary| summary.stream_status().as_str().to_owned());
        if status.as_deref() == Some("ACTIVE") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the stream does not become active");
}

/// How often each record lies in the stream, by its bytes.
async fn stored(reader: &Client, wanted: usize) -> BTreeMap<Vec<u8>, u32> {
    let shards = reader.list_shards().stream_name("events").send().await.unwrap();
    let shard = shards.shards().first().unwrap().shard_id().to_owned();
    let iterator = reader.get_shard_iterator().stream_name("events").shard_id(shard);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
    let mut next = iterator.shard_iterator().map(str::to_owned);
    let mut found: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for _ in 0..200 {
        let Some(iterator) = next else { break };
        let page = reader.get_records().shard_iterator(iterator).limit(1_000).send().await.unwrap();
        for record in page.records() {
            *found.entry(record.data().as_ref().to_vec()).or_default() += 1;
        }
        if page.records().is_empty() && found.len() >= wanted {
            break;
        }
        next = page.next_shard_iterator().map(str::to_owned);
    }
    found
}

fn records(count: usize, size: usize) -> Vec<Record> {
    (0..count)
        .map(|number| {
            let data = Bytes::from(format!("{number:08}{}", "x".repeat(size)));
            Record { data, partition_key: format!("key-{number}") }
        })
        .collect()
}

async fn delivers(kind: Kind) {
    let Some(mut bench) = bench(kind).await else { return };
    let delivered = bench.producer.send(records(1_234, 100)).await.unwrap();
    assert_eq!((delivered.records, delivered.bytes), (1_234, 1_234 * 108));
    assert_eq!((delivered.retried, delivered.refused.len()), (0, 0));
    let found = stored(&bench.reader, 1_234).await;
    assert_eq!(found.len(), 1_234);
    assert!(found.values().all(|times| *times == 1));
    let puts = bench.proxy.seen().iter().filter(|request| request.operation == "PutRecords").count();
    assert_eq!(puts, 3, "500, 500 and 234 records");
}

#[tokio::test]
async fn records_arrive_in_batches_on_moto() {
    delivers(Kind::Moto).await;
}

#[tokio::test]
async fn records_arrive_in_batches_on_ministack() {
    delivers(Kind::Ministack).await;
}

#[tokio::test]
async fn large_records_stay_within_the_request() {
    let Some(mut bench) = bench(Kind::Ministack).await else { return };
    let delivered = bench.producer.send(records(13, 1_000_000)).await.unwrap();
    assert_eq!(delivered.records, 13);
    let puts: Vec<_> = bench.proxy.seen().into_iter().filter(|r| r.operation == "PutRecords").collect();
    assert_eq!(puts.len(), 4, "4 + 4 + 4 + 1");
}

#[tokio::test]
async fn only_failed_entries_are_sent_again() {
    let Some(mut bench) = bench(Kind::Ministack).await else { return };
    let mut puts = 0;
    bench.proxy.script(move |request| {
        if request.operation != "PutRecords" {
            return Action::Forward;
        }
        puts += 1;
        match puts {
            1 => Action::FailEntries(
                (0..300).filter(|i| i % 3 == 0).collect(),
                "ProvisionedThroughputExceededException",
            ),
            2 => Action::FailEntries((0..100).filter(|i| i % 2 == 0).collect(), "InternalFailure"),
            3 => Action::Answer(Answer::json(400, "ProvisionedThroughputExceededException")),
            4 => Action::Answer(Answer::json(500, "InternalFailure")),
            5 => Action::BreakBefore,
            _ => Action::Forward,
        }
    });
    let delivered = bench.producer.send(records(300, 10)).await.unwrap();
    assert_eq!((delivered.records, delivered.retried), (300, 150));
    let found = stored(&bench.reader, 300).await;
    assert!(
        found.len() == 300 && found.values().all(|times| *times == 1),
        "an acknowledged entry was sent again"
    );
}

#[tokio::test]
async fn a_lost_answer_means_a_repeat_and_no_loss() {
    let Some(mut bench) = bench(Kind::Ministack).await else { return };
    let mut puts = 0;
    bench.proxy.script(move |request| {
        puts += u32::from(request.operation == "PutRecords");
        if puts == 1 && request.operation == "PutRecords" { Action::BreakAfter } else { Action::Forward }
    });
    bench.producer.send(records(50, 10)).await.unwrap();
    let found = stored(&bench.reader, 50).await;
    assert!(found.len() == 50 && found.values().all(|times| *times == 2));
}

#[tokio::test]
async fn oversized_records_are_refused_and_the_others_arrive() {
    let Some(mut bench) = bench(Kind::Ministack).await else { return };
    let mut sent = records(3, 10);
    sent[1].data = Bytes::from(vec![b'x'; 1024 * 1024]);
    let delivered = bench.producer.send(sent).await.unwrap();
    assert_eq!(delivered.records, 2);
    let [refused] = delivered.refused.as_slice() else { panic!("{delivered:?}") };
    assert_eq!(refused.position, 1);
    assert!(matches!(refused.why, WhyRefused::TooLarge { limit: 1_048_576, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_stream_that_takes_nothing_ends_the_attempts() {
    let Some(mut bench) = bench(Kind::Ministack).await else { return };
    bench.proxy.script(|request| match request.operation.as_str() {
        "PutRecords" => Action::FailEntries((0..500).collect(), "ProvisionedThroughputExceededException"),
        _ => Action::Forward,
    });
    let error = bench.producer.send(records(5, 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    let puts = bench.proxy.seen().iter().filter(|request| request.operation == "PutRecords").count();
    assert_eq!(puts, 6, "the attempts of the policy");
}

#[tokio::test]
async fn a_missing_stream_is_named() {
    let Some(bench) = bench(Kind::Ministack).await else { return };
    let aws = support::connect(&bench.proxy.endpoint(), support::OWNER).await;
    let mut producer =
        KinesisProducer::new(&aws, KinesisOptions { stream: "absent".to_owned(), ..options(&aws) });
    let error = producer.send(records(1, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("kinesis:absent"), "{error}");
}
