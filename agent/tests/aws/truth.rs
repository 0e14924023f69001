//! The whole organization through S3, STS and Kinesis of both emulators.

use trailhaul_tests::emulator::Kind;
use trailhaul_tests::org::Options;

use crate::cloud::{Cloud, STREAM, with_stream};
use crate::tree::finish;
use crate::{ONCE, check_secrets, write};

async fn the_truth_through_s3(kind: Kind) {
    let options = Options { seed: 21, accounts: 20, regions: 4, hours: 6, ..Options::default() };
    println!("seed {}", options.seed);
    let Some(cloud) = Cloud::start(kind, &options).await else { return };
    let config = with_stream(&cloud.config("trails", ""), STREAM);
    write(&cloud, "s3.yaml", &config);
    let ran = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    check_secrets(&cloud, &ran);
    cloud.fetch_archive("trails").await;
    cloud.tree.check_truth("through S3");
    cloud.tree.check_nothing_uncommitted_below("trails/", "through S3");

    cloud.check_stream(STREAM, "through Kinesis").await;
    let second = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(second.number("/total/objects"), 0, "a second pass hauls nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_truth_through_ministack() {
    the_truth_through_s3(Kind::Ministack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_truth_through_moto() {
    the_truth_through_s3(Kind::Moto).await;
}
