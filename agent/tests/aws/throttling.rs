//! A bucket that asks for fewer requests gets fewer, and nobody else does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trailhaul_tests::org::Options;
use trailhaul_tests::proxy::{Action, Answer};

use crate::running::Running;
use crate::tree::finish;
use crate::{ONCE, behind_a_proxy, write};

/// All accounts share one lane with the objects of a bucket whose every read is throttled: the others are complete,
/// the bucket is asked less and less, and it comes too when it answers again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_throttles_slows_itself_alone() {
    let options = Options { seed: 61, accounts: 5, regions: 2, hours: 2, rate: 12, ..Options::default() };
    let Some((cloud, proxy)) = behind_a_proxy(&options).await else { return };
    let (slow, _) = cloud.buckets.iter().find(|(bucket, _)| bucket.starts_with("member-trail-")).unwrap();
    let (throttles, refused) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    {
        let (slow, throttles, refused) = (slow.clone(), Arc::clone(&throttles), Arc::clone(&refused));
        proxy.script(move |request| {
            let hits = request.bucket == slow && request.operation == "GetObject";
            if hits && throttles.load(Ordering::SeqCst) {
                refused.fetch_add(1, Ordering::SeqCst);
                return Action::Answer(Answer::slow_down());
            }
            Action::Forward
        });
    }
    let quick = "batch: {age: 1s}\ntail: {interval: 2s, max_interval: 5s}\n";
    write(&cloud, "s3.yaml", &format!("{}{quick}", cloud.config("trails", "\n    lanes: 1")));
    let began = Instant::now();
    let running = Running::start(&cloud, "s3.yaml");
    let took = running.until_whole(&cloud, "trails", &[slow]).await;
    // A while longer, so that the rate shows.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (seconds, asked) = (began.elapsed().as_secs(), refused.load(Ordering::SeqCst));
    println!("the others whole after {took:.1?}; the slow bucket was asked {asked} times in {seconds} s");
    assert!(asked > 0, "the bucket was never asked");
    assert!(asked <= 60 + 4 * seconds, "{asked} requests in {seconds} s to a bucket that asks for fewer");
    assert!(running.log().contains("slow down: the bucket throttles"), "{}", running.log());

    throttles.store(false, Ordering::SeqCst);
    let took = running.until_whole(&cloud, "trails", &[]).await;
    println!("whole {took:.1?} after the throttling ended");
    assert_eq!(running.stop().code, Some(0));
    assert!(proxy.violations().is_empty(), "{:?}", proxy.violations());
}

/// A bucket that takes thirty requests in any second and refuses the others: a single pass brings everything, and
/// does not run against the limit all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_finds_the_pace_that_a_bucket_takes() {
    const CAPACITY: usize = 30;
    let options = Options { seed: 62, accounts: 6, regions: 3, hours: 3, rate: 12, ..Options::default() };
    let Some((cloud, proxy)) = behind_a_proxy(&options).await else { return };
    let (slow, _) = cloud.buckets.iter().find(|(bucket, _)| bucket.starts_with("organization-")).unwrap();
    let (slow, counts) = (slow.clone(), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
    let mut taken: VecDeque<Instant> = VecDeque::new();
    {
        let counts = Arc::clone(&counts);
        proxy.script(move |request| {
            if request.bucket != slow {
                return Action::Forward;
            }
            let now = Instant::now();
            while taken.front().is_some_and(|first| now - *first >= Duration::from_secs(1)) {
                taken.pop_front();
            }
            let fits = taken.len() < CAPACITY;
            counts[usize::from(fits)].fetch_add(1, Ordering::SeqCst);
            if fits {
                taken.push_back(now);
                Action::Forward
            } else {
                Action::Answer(Answer::slow_down())
            }
        });
    }
    write(&cloud, "s3.yaml", &cloud.config("trails", ""));
    let ran = finish(cloud.command("s3.yaml", &ONCE));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cloud.fetch_archive("trails").await;
    cloud.tree.check_truth("paced");
    let [refused, served] = [0, 1].map(|at: usize| counts[at].load(Ordering::SeqCst));
    // A machine that is slower than the bucket is never refused.
    println!("{served} served, {refused} refused");
    assert!(served > 200, "{served} served: too small a case");
    assert!(refused < served / 2, "{refused} of {} requests ran against the limit", served + refused);
}
