//! Nothing secret reaches a log or an error: keys, tokens, external ids, the proxy's password.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use trailhaul::aws::{Aws, BucketOwner, Role, StaticKeys};
use trailhaul::config::{self, Secret};
use trailhaul::runtime::SystemClock;
use trailhaul::store::{GetOptions, Keep, ObjectStore, PutOptions, S3Options, S3Store};
use trailhaul_tests::emulator::{Emulator, Kind};
use trailhaul_tests::proxy::{Action, Answer, Proxy, Service};

use crate::support;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SDK at `debug`, ourselves at `trace`: one step beyond what an operator is ever asked to switch on.
const LEVELS: &str = "debug,trailhaul=trace";

#[tokio::test]
async fn nothing_planted_shows_in_logs_and_errors() {
    let Some(emulator) = Emulator::start(Kind::Moto) else { return };
    support::bucket(&support::connect(&emulator.endpoint(), support::OWNER).await, "logs").await;
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(LEVELS))
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // The endpoint is the emulator, but all requests go through an HTTP proxy with a password.
    let proxy = Proxy::start(emulator.address()).unwrap();
    let url = proxy.endpoint().replace("http://", "http://user:planted-proxy-password@");
    let settings = config::Aws { proxy: Some(Secret::new(url)), ..support::settings(&emulator.endpoint()) };
    let keys = StaticKeys { id: support::OWNER.to_owned(), secret: Secret::new(support::SECRET_KEY) };
    let aws = Aws::connect_with_keys(&settings, Arc::new(SystemClock), &keys).await.unwrap();
    let role = config::Role {
        target: config::RoleTarget::Name("TrailhaulReader".to_owned()),
        external_id: Some(Secret::new("planted-external-id")),
        session_name: "trailhaul".to_owned(),
        duration: Duration::from_secs(3_600),
    };
    let role = Role::new(&role, support::OWNER.parse().unwrap(), "us-east-1").unwrap();
    let options = S3Options {
        bucket: "logs".to_owned(),
        owner: Some(BucketOwner::new(support::OWNER.parse().unwrap())),
        region: None,
        identity: aws.assume(&[role]),
        keep: Keep::default(),
    };
    let store = S3Store::new(&aws, options).unwrap();
    store.put("object", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    let seen = proxy.seen();
    assert!(seen.iter().any(|request| request.service == Service::Sts), "{seen:?}");
    assert!(seen.iter().any(|request| request.operation == "PutObject"), "{seen:?}");
    proxy.script(|_| Action::Answer(Answer::denied()));
    let error = store.get("object", GetOptions::default()).await.unwrap_err();

    let mut text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("DEBUG"), "nothing was captured");
    text.push_str(&format!("{error} {error:?} {aws:?} {store:?} {settings:?} {keys:?}"));
    for line in text.lines() {
        assert!(!line.contains("planted"), "{line}");
    }
}
