//! A simulated organization in the buckets of an emulator, and the real program hauling it through S3.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::Path;
use std::process::Command;

use aws_sdk_kinesis::types::ShardIteratorType;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use futures::StreamExt;
use serde_json::{Value, json};
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::{Action, Answer, Proxy, Request, Service};
use trailhaul_tests::stream::compare_stream;
use trailhaul_tests::{model, truth};

use super::tree::{Tree, files};

/// The account that the agent runs in; it owns the archive and the stream.
pub(crate) const HOME: &str = "999988887777";
/// Planted secrets: they must show nowhere.
pub(crate) const EXTERNAL_ID: &str = "planted-external-id";
pub(crate) const SECRET_KEY: &str = "planted-secret-key";
/// The region that is configured.
const HERE: &str = "us-east-1";
pub(crate) const ARCHIVE: &str = "org-log-archive";
pub(crate) const STREAM: &str = "org-cloudtrail";

/// The emulator with the organization's buckets, and the tree that they were made from.
pub(crate) struct Cloud {
    pub(crate) emulator: Emulator,
    pub(crate) tree: Tree,
    /// Where the agent sends its requests: the emulator, or a proxy in front of it.
    pub(crate) endpoint: String,
    pub(crate) buckets: Vec<(String, String)>,
    region: &'static str,
    /// In front of moto, see [`Cloud::start`].
    _orderly: Option<Proxy>,
}

/// An S3 client of an account, straight to the emulator.
pub(crate) fn s3(endpoint: &str, account: &str, region: &'static str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new(account, SECRET_KEY, None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

pub(crate) fn kinesis(endpoint: &str) -> aws_sdk_kinesis::Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(aws_sdk_kinesis::config::BehaviorVersion::latest())
        .region(aws_sdk_kinesis::config::Region::new("us-east-1"))
        .credentials_provider(Credentials::new(HOME, SECRET_KEY, None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_kinesis::Client::from_conf(config)
}

impl Cloud {
    /// Starts the emulator and fills the buckets; `None` where it is not installed.
    ///
    /// moto 5.2.5 gets writes one at a time: its `Shard.put_record` takes the next sequence number and stores under
    /// it in two steps ("this function is not safe for concurrency"), so of two lanes that write to one shard
    /// together one overwrites the other's acknowledged record; and its conditional creates look and write in two
    /// steps as well.
    pub(crate) async fn start(kind: Kind, options: &Options) -> Option<Self> {
        Self::start_in(kind, options, HERE).await
    }

    /// The same with all buckets in this region; the configuration still says `us-east-1`.
    pub(crate) async fn start_in(kind: Kind, options: &Options, region: &'static str) -> Option<Self> {
        let emulator = Emulator::start(kind)?;
        let tree = Tree::simulate(options, &[], trailhaul_tests::damage::Sizes::default());
        Some(Self::fill(kind, emulator, tree, region).await)
    }

    /// Fills an emulator's buckets from a tree.
    pub(crate) async fn fill(kind: Kind, emulator: Emulator, tree: Tree, region: &'static str) -> Self {
        let endpoint = emulator.endpoint();
        let mut buckets = Vec::new();
        for entry in fs::read_dir(tree.path("buckets")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // simorg names a bucket after its owner.
            let owner =
                name.split('-').find(|part| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit()));
            let owner = owner.unwrap_or(HOME).to_owned();
            let client = s3(&endpoint, &owner, region);
            make_bucket(&client, &name, region).await;
            upload(&client, &name, &path).await;
            buckets.push((name, owner));
        }
        make_bucket(&s3(&endpoint, HOME, region), ARCHIVE, region).await;
        buckets.push((ARCHIVE.to_owned(), HOME.to_owned()));
        let mut cloud = Self { emulator, tree, endpoint, buckets, region, _orderly: None };
        if kind == Kind::Moto {
            let proxy = Proxy::start(cloud.emulator.address()).unwrap();
            proxy.one_at_a_time(Service::Kinesis, &["PutRecords"]);
            proxy.one_at_a_time(Service::S3, &["PutObject", "CompleteMultipartUpload"]);
            cloud.endpoint = proxy.endpoint();
            cloud._orderly = Some(proxy);
        }
        cloud.make_stream(STREAM).await;
        cloud
    }

    /// A client of whoever owns the bucket, straight to the emulator.
    pub(crate) fn owner_of(&self, bucket: &str) -> aws_sdk_s3::Client {
        let (_, owner) = self.buckets.iter().find(|(name, _)| name == bucket).unwrap();
        s3(&self.emulator.endpoint(), owner, self.region)
    }

    /// Puts an object as it lies in the tree by now.
    pub(crate) async fn put(&self, bucket: &str, key: &str) {
        let path = self.tree.path("buckets").join(bucket).join(key);
        put(&self.owner_of(bucket), bucket, key, &path).await;
    }

    pub(crate) async fn delete(&self, bucket: &str, key: &str) {
        self.owner_of(bucket).delete_object().bucket(bucket).key(key).send().await.unwrap();
    }

    pub(crate) async fn make_stream(&self, name: &str) {
        let client = kinesis(&self.emulator.endpoint());
        client.create_stream().stream_name(name).shard_count(2).send().await.unwrap();
        for _ in 0..100 {
            let summary = client.describe_stream_summary().stream_name(name).send().await.unwrap();
            let status = summary.stream_description_summary().map(|s| s.stream_status().as_str().to_owned());
            if status.as_deref() == Some("ACTIVE") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the stream does not become active");
    }

    /// The tree's configuration with buckets instead of folders. `extra` is appended to the archive's settings.
    pub(crate) fn config(&self, prefix: &str, extra: &str) -> String {
        let root = self.tree.folder.path().display().to_string();
        let text = self.tree.config.replace(&format!("file://{root}/buckets/"), "s3://");
        let text = text.replace(
            &format!("file://{root}/archive"),
            &format!("s3://{ARCHIVE}/{prefix}\n    owner: \"{HOME}\"{extra}"),
        );
        assert!(!text.contains("file://"), "{text}");
        let text = text.replace(
            "trails:\n",
            "  role:\n    name: TrailhaulReader\n    external_id: \"${env:TRAILHAUL_TEST_EXTERNAL_ID}\"\ntrails:\n",
        );
        format!("{text}aws:\n  region: us-east-1\n  endpoint_url: {}\n  path_style: true\n", self.endpoint)
    }

    /// The configuration of one of many runs in this cloud: an archive prefix, a state folder and a stream of its own,
    /// all by this name.
    pub(crate) fn config_of(&self, run: &str, extra: &str) -> String {
        let text = self.config(run, extra).replace("/state\n", &format!("/state-{run}\n"));
        with_stream(&text, run)
    }

    /// The program, in the agent's account.
    pub(crate) fn command(&self, config: &str, arguments: &[&str]) -> Command {
        let mut command = self.tree.command_with(config, arguments);
        command
            .env("AWS_ACCESS_KEY_ID", HOME)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("TRAILHAUL_TEST_EXTERNAL_ID", EXTERNAL_ID)
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_PROFILE");
        command
    }

    /// Copies the archive below `prefix` into the tree, where the comparison looks for it.
    pub(crate) async fn fetch_archive(&self, prefix: &str) {
        assert!(self.fetch_what_is_there(prefix).await > 0, "nothing below {prefix}");
    }

    /// The same while it is being written; the number of objects.
    pub(crate) async fn fetch_what_is_there(&self, prefix: &str) -> usize {
        let client = s3(&self.emulator.endpoint(), HOME, self.region);
        let target = self.tree.path("archive");
        let _ = fs::remove_dir_all(&target);
        let mut pages =
            client.list_objects_v2().bucket(ARCHIVE).prefix(format!("{prefix}/")).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        let count = keys.len();
        fs::create_dir_all(target.join("data")).unwrap();
        for key in keys {
            let object = client.get_object().bucket(ARCHIVE).key(&key).send().await.unwrap();
            let bytes = object.body.collect().await.unwrap().into_bytes();
            let path = target.join(key.strip_prefix(&format!("{prefix}/")).unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        count
    }

    /// The stream holds every event at least once, and every repeat is known by its key. The repeats.
    pub(crate) async fn check_stream(&self, stream: &str, context: &str) -> u64 {
        let truth = truth::read(&self.tree.path("truth.ndjson")).unwrap();
        let expected = model::expected_at_once(&truth, model::WINDOW);
        let found = compare_stream(&expected, &self.stream(stream).await).unwrap();
        assert!(found.is_empty(), "{context}: {found:#?}");
        found.repeats
    }

    /// Every record of a stream.
    pub(crate) async fn stream(&self, stream: &str) -> Vec<Vec<u8>> {
        let client = kinesis(&self.emulator.endpoint());
        let shards = client.list_shards().stream_name(stream).send().await.unwrap();
        let mut records = Vec::new();
        for shard in shards.shards() {
            let iterator = client.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id());
            let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
            let mut next = iterator.shard_iterator().map(str::to_owned);
            for _ in 0..1_000 {
                let Some(iterator) = next else { break };
                let page = client.get_records().shard_iterator(iterator).limit(1_000).send().await.unwrap();
                if page.records().is_empty() {
                    break;
                }
                records.extend(page.records().iter().map(|record| record.data().as_ref().to_vec()));
                next = page.next_shard_iterator().map(str::to_owned);
            }
        }
        records
    }
}

/// The configuration with a Kinesis sink besides.
pub(crate) fn with_stream(config: &str, stream: &str) -> String {
    let sink = format!("  events:\n    type: kinesis\n    stream: {stream}\n    format: raw+meta\n");
    config.replace("state:\n", &format!("{sink}state:\n"))
}

pub(crate) async fn make_bucket(client: &aws_sdk_s3::Client, bucket: &str, region: &str) {
    use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
    let place =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region));
    let place = (region != HERE).then(|| place.build());
    client.create_bucket().bucket(bucket).set_create_bucket_configuration(place).send().await.unwrap();
}

/// User metadata lies beside the object that it belongs to.
const METADATA: &str = ".metadata.json";

pub(crate) async fn upload(client: &aws_sdk_s3::Client, bucket: &str, folder: &Path) {
    let objects = files(folder).into_iter().filter(|path| !path.to_str().unwrap().ends_with(METADATA));
    let puts = objects.map(|path| async move {
        put(client, bucket, path.strip_prefix(folder).unwrap().to_str().unwrap(), &path).await;
    });
    futures::stream::iter(puts).buffer_unordered(16).collect::<()>().await;
}

/// Puts a file of a tree, with the metadata that lies beside it.
async fn put(client: &aws_sdk_s3::Client, bucket: &str, key: &str, path: &Path) {
    let metadata = fs::read(format!("{}{METADATA}", path.display())).ok();
    let metadata = metadata.map(|text| serde_json::from_slice(&text).unwrap());
    let body = aws_sdk_s3::primitives::ByteStream::from(fs::read(path).unwrap());
    client.put_object().bucket(bucket).key(key).body(body).set_metadata(metadata).send().await.unwrap();
}

/// An answer of CloudTrail.
pub(crate) fn answer(body: &Value) -> Action {
    let answer = Answer { status: 200, headers: Vec::new(), body: body.to_string() };
    Action::Answer(answer.with("content-type", "application/x-amz-json-1.1"))
}

/// CloudTrail's ListPublicKeys, which no emulator has: the tree's saved answer for the region that is asked, with
/// times as the API writes them.
pub(crate) fn public_keys(root: &Path, request: &Request) -> Action {
    let path = root.join("public-keys").join(format!("{}.json", request.region));
    let mut saved: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for key in saved["PublicKeyList"].as_array_mut().unwrap() {
        for field in ["ValidityStartTime", "ValidityEndTime"] {
            let time: jiff::Timestamp = key[field].as_str().unwrap().parse().unwrap();
            key[field] = json!(time.as_second());
        }
    }
    answer(&saved)
}

/// Switches versioning on.
pub(crate) async fn keep_versions(client: &aws_sdk_s3::Client, bucket: &str) {
    use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
    let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(bucket).versioning_configuration(on).send().await.unwrap();
}
