//! How many pages of listings all tails hold at once.
//!
//! In: list requests of any trail. Out: pages, each with a place that is free again when it is dropped. A page of
//! 1,000 keys takes some 300 KiB, and there may be hundreds of trails, so the places are shared and are part of
//! `limits.memory`. Invariants: no more requests under way and pages held than places; in each line whoever waits
//! longest is next; nobody holds a place while he pauses between two tries or waits for room in a queue. Half of the
//! places are for trails that answer within [`QUICK`], and a request that takes longer gives such a place up, so that
//! trails that hang or throttle do not keep the others waiting. A trail that was slow waits in two other lines, until
//! an answer is quick again: a quarter of the places gives it all the time that its store allows, and a quarter the
//! time of a quick answer, so that many that hang do not keep one of them waiting that has recovered.
//!
//! On failure: the store's own, after the tries that the policy allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::runtime::RetryPolicy;
use crate::store::{ErrorKind, ListPage, ListRequest, ObjectStore, StoreError};

/// Longer than S3 takes for a page from anywhere.
const QUICK: Duration = Duration::from_secs(3);
/// A request that had no answer in so long counts as failed, however often it gave way.
const LONGEST: Duration = Duration::from_secs(300);

/// The places of all tails. Clones share them.
#[derive(Debug, Clone)]
pub struct Pages {
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// For trails that were slow, with the time of a quick answer.
    chance: Arc<Semaphore>,
}

/// A page's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Whether a trail's last answer was slow.
#[derive(Debug, Default)]
pub(super) struct Slowness(AtomicBool);

impl Pages {
    /// So many places, at least three.
    pub fn new(places: usize) -> Self {
        let line = |places: usize| Arc::new(Semaphore::new(places.max(1)));
        let (slow, chance) = (places / 4, places / 4);
        Self { quick: line(places - slow - chance), slow: line(slow), chance: line(chance) }
    }

    /// Reads a page, as often as the policy says.
    pub(super) async fn list(
        &self,
        store: &dyn ObjectStore,
        request: &ListRequest,
        slowness: &Slowness,
        retry: &RetryPolicy,
        cancel: &CancellationToken,
    ) -> Result<(ListPage, Place), StoreError> {
        let listed = retry.run(cancel, || self.once(store, request, slowness)).await;
        listed.map_err(|gave_up| gave_up.error)
    }

    async fn once(
        &self,
        store: &dyn ObjectStore,
        request: &ListRequest,
        slowness: &Slowness,
    ) -> Result<(ListPage, Place), StoreError> {
        let began = Instant::now();
        let mut line = if slowness.is_slow() { &self.chance } else { &self.quick };
        loop {
            let (place, limit) = tokio::select! {
                biased;
                place = stand_in(&self.slow), if slowness.is_slow() => (place?, None),
                place = stand_in(line) => (place?, Some(QUICK)),
            };
            let asked = Instant::now();
            let answer = match limit {
                None => Ok(store.list(request).await),
                Some(limit) => timeout(limit, store.list(request)).await,
            };
            match answer {
                Ok(answer) => {
                    slowness.set(asked.elapsed() > QUICK);
                    return answer.map(|page| (page, place));
                }
                Err(_) if began.elapsed() < LONGEST => {
                    slowness.set(true);
                    line = &self.chance;
                }
                Err(_) => {
                    let message = "no answer in time, again and again";
                    return Err(StoreError::new(ErrorKind::Unavailable, LIST, store.url(), message));
                }
            }
        }
    }
}

const LIST: &str = "list objects";

/// Waits for a place.
async fn stand_in(line: &Arc<Semaphore>) -> Result<Place, StoreError> {
    match Arc::clone(line).acquire_owned().await {
        Ok(permit) => Ok(Place { _permit: permit }),
        // The lines are never closed.
        Err(error) => Err(StoreError::new(ErrorKind::Other, LIST, "listings", error.to_string())),
    }
}

impl Slowness {
    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, slow: bool) {
        self.0.store(slow, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::store::{Faults, FaultyStore, MemoryStore, Steps};

    fn store(delay: Option<Range<Duration>>) -> FaultyStore {
        let faults = Faults { delay, ..Faults::default() };
        FaultyStore::new(Arc::new(MemoryStore::new("trail")), Steps::new(), faults)
    }

    /// Two hundred trails that take a minute for an answer do not hold up a quick one, nor for long one of them that
    /// is quick again.
    #[tokio::test(start_paused = true)]
    async fn trails_that_hang_do_not_keep_a_quick_one_waiting() {
        let pages = Pages::new(8);
        let (retry, cancel) = (RetryPolicy::requests(), CancellationToken::new());
        let minute = Duration::from_secs(60)..Duration::from_secs(61);
        let mended = Arc::new(store(Some(minute.clone())));
        let mut hanging = tokio::task::JoinSet::new();
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        for number in 0..200 {
            let (pages, cancel, minute) = (pages.clone(), cancel.clone(), minute.clone());
            let (mended, tell) = (Arc::clone(&mended), if number == 100 { tell.take() } else { None });
            hanging.spawn(async move {
                let (own, slowness) = (store(Some(minute)), Slowness::default());
                let store = if number == 100 { &*mended } else { &own };
                for _ in 0..100 {
                    let began = Instant::now();
                    let _ = pages.list(store, &ListRequest::default(), &slowness, &retry, &cancel).await;
                    if number == 100 && !slowness.is_slow() {
                        break;
                    }
                    assert!(began.elapsed() < 2 * LONGEST);
                }
                tell.map(|tell| tell.send(Instant::now()));
            });
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        let (quick, slowness) = (store(None), Slowness::default());
        let began = Instant::now();
        for _ in 0..200 {
            pages.list(&quick, &ListRequest::default(), &slowness, &retry, &cancel).await.unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        mended.set(Faults::default());
        let mending = Instant::now();
        let took = told.await.unwrap() - mending;
        assert!(took < Duration::from_secs(400), "{took:?}");
        hanging.abort_all();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_trail_gets_its_pages_and_is_quick_again() {
        let pages = Pages::new(3);
        let (retry, cancel) = (RetryPolicy::requests(), CancellationToken::new());
        let ten = Duration::from_secs(10)..Duration::from_secs(11);
        let (store, slowness) = (store(Some(ten)), Slowness::default());
        for _ in 0..3 {
            pages.list(&store, &ListRequest::default(), &slowness, &retry, &cancel).await.unwrap();
            assert!(slowness.is_slow());
        }
        store.set(Faults::default());
        pages.list(&store, &ListRequest::default(), &slowness, &retry, &cancel).await.unwrap();
        assert!(!slowness.is_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_pages_than_places() {
        let pages = Pages::new(4);
        let (retry, cancel) = (RetryPolicy::requests(), CancellationToken::new());
        let (store, slowness) = (store(None), Slowness::default());
        let mut held = Vec::new();
        let request = ListRequest::default();
        let list = || pages.list(&store, &request, &slowness, &retry, &cancel);
        for _ in 0..2 {
            held.push(list().await.unwrap());
        }
        assert!(timeout(Duration::from_secs(600), list()).await.is_err(), "the quick half is taken");
        held.pop();
        assert!(timeout(Duration::from_secs(1), list()).await.is_ok());
    }
}
