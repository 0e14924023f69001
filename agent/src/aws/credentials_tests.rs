use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;

use super::*;
use crate::aws::ErrorClass;
use crate::runtime::{Clock, ManualClock};

#[derive(Debug)]
struct Scripted {
    asked: Arc<AtomicU32>,
    life: Duration,
    clock: Arc<ManualClock>,
    broken: Arc<std::sync::atomic::AtomicBool>,
}

#[async_trait]
impl Source for Scripted {
    async fn fetch(&self) -> Result<Credentials, Failure> {
        let n = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::task::yield_now().await;
        if self.broken.load(Ordering::SeqCst) {
            return Err(Failure::new(ErrorClass::Denied, format!("refused {n}")));
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(self.clock.now().as_second().unsigned_abs());
        Ok(Credentials::new(format!("key-{n}"), "s", None, Some(now + self.life), "test"))
    }
}

struct Bench {
    renewed: Arc<Renewed>,
    asked: Arc<AtomicU32>,
    clock: Arc<ManualClock>,
    broken: Arc<std::sync::atomic::AtomicBool>,
}

fn bench() -> Bench {
    let start: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(start));
    let asked = Arc::new(AtomicU32::new(0));
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let source = Scripted {
        asked: Arc::clone(&asked),
        life: Duration::from_secs(3_600),
        clock: Arc::clone(&clock),
        broken: Arc::clone(&broken),
    };
    let renewed = Arc::new(Renewed::new(source, AwsTime::new(Arc::clone(&clock) as Arc<dyn Clock>)));
    Bench { renewed, asked, clock, broken }
}

impl Bench {
    async fn key(&self) -> Result<String, String> {
        match self.renewed.get().await {
            Ok(credentials) => Ok(credentials.access_key_id().to_owned()),
            Err(failure) => Err(failure.to_string()),
        }
    }
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn credentials_are_kept_and_renewed_before_they_end() {
    let b = bench();
    assert_eq!(b.key().await.unwrap(), "key-1");
    b.pass(2_690);
    assert_eq!(b.key().await.unwrap(), "key-1", "before 75 % of their life");
    b.pass(400);
    assert_eq!(b.key().await.unwrap(), "key-2", "after 85 %");
}

#[tokio::test]
async fn many_callers_ask_once() {
    let b = bench();
    let calls = (0..50).map(|_| b.key());
    let keys = futures::future::join_all(calls).await;
    assert!(keys.iter().all(|key| key.as_deref() == Ok("key-1")));
    assert_eq!(b.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_good_ones_in_use() {
    let b = bench();
    b.key().await.unwrap();
    b.broken.store(true, Ordering::SeqCst);
    b.pass(3_200);
    assert_eq!(b.key().await.unwrap(), "key-1");
    b.pass(380);
    assert!(b.key().await.is_err(), "too close to their end");
}

#[tokio::test]
async fn failures_are_answered_at_once_and_asked_again_at_growing_intervals() {
    let b = bench();
    b.broken.store(true, Ordering::SeqCst);
    for _ in 0..600 {
        assert!(b.key().await.unwrap_err().contains("refused"));
        b.pass(1);
    }
    let asked = b.asked.load(Ordering::SeqCst);
    assert!((30..=70).contains(&asked), "asked {asked} times in ten minutes");
    b.broken.store(false, Ordering::SeqCst);
    b.pass(MAX_PAUSE.as_secs());
    assert!(b.key().await.is_ok(), "mended within the longest pause");
}

#[tokio::test]
async fn expired_ones_are_given_up_unless_fresh() {
    let b = bench();
    b.key().await.unwrap();
    assert!(!b.renewed.expire(), "fresh: another reason");
    b.pass(60);
    assert!(b.renewed.expire());
    assert_eq!(b.key().await.unwrap(), "key-2");
}

#[test]
fn pauses_are_bounded() {
    for times in 0..100 {
        for fraction in [0.0, 0.5, 1.0] {
            let pause = pause(times, fraction);
            assert!(pause >= MIN_PAUSE / 2 && pause <= MAX_PAUSE, "{times} {fraction} {pause:?}");
        }
    }
}
