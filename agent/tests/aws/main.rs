//! The real program over S3, STS and Kinesis of the emulators: the truth, a lake of Parquet files,
//! faults, kills, missing roles, attacks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test"
)]

#[path = "../asked/mod.rs"]
mod asked;
mod attack;
#[path = "../cloud/mod.rs"]
mod cloud;
mod kills;
mod lake;
mod mending;
mod running;
mod storm;
mod throttling;
#[path = "../tree/mod.rs"]
mod tree;
mod truth;
mod veil;
mod versions;

use std::fs;

use cloud::{Cloud, EXTERNAL_ID, SECRET_KEY};
use trailhaul_tests::emulator::Kind;
use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::Proxy;
use tree::{Ran, files};

const ONCE: [&str; 4] = ["--output", "json", "run", "--once"];

fn write(cloud: &Cloud, name: &str, text: &str) {
    fs::write(cloud.tree.path(name), text).unwrap();
}

/// No planted secret stands in what was printed, nor in the state folder.
fn check_secrets(cloud: &Cloud, ran: &Ran) {
    for secret in [EXTERNAL_ID, SECRET_KEY] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} was printed");
        for path in files(&cloud.tree.path("state")) {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", path.display());
        }
    }
}

/// A case behind a proxy that asserts the owner of every bucket.
async fn behind_a_proxy(options: &Options) -> Option<(Cloud, Proxy)> {
    println!("seed {}", options.seed);
    let mut cloud = Cloud::start(Kind::Ministack, options).await?;
    let proxy = in_front(&mut cloud);
    Some((cloud, proxy))
}

/// Puts such a proxy in front of a cloud.
fn in_front(cloud: &mut Cloud) -> Proxy {
    let proxy = Proxy::start(cloud.emulator.address()).unwrap();
    for (bucket, owner) in &cloud.buckets {
        proxy.own(bucket, owner);
    }
    cloud.endpoint = proxy.endpoint();
    proxy
}
