use std::time::Duration;

use super::*;
use crate::store::{Faults, FaultyStore, MemoryStore, PutOptions, Steps};

struct World {
    inner: Arc<MemoryStore>,
    store: Arc<FaultyStore>,
    object: ObjectRef,
    bytes: Vec<u8>,
}

async fn world(size: usize, faults: Faults) -> World {
    let inner = Arc::new(MemoryStore::new("reader"));
    let bytes: Vec<u8> = (0..size).map(|n| (n / 7) as u8).collect();
    let meta = inner.put("k", bytes.clone().into(), &PutOptions::default()).await.unwrap();
    let object = ObjectRef {
        bucket: inner.url().into(),
        key: "k".into(),
        etag: meta.etag,
        version: None,
        size: meta.size,
    };
    let wrapped = Arc::clone(&inner) as Arc<dyn ObjectStore>;
    World { inner, store: Arc::new(FaultyStore::new(wrapped, Steps::new(), faults)), object, bytes }
}

impl World {
    fn reader(&self) -> ObjectReader {
        let policy = RetryPolicy::requests().seeded(1);
        let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        ObjectReader::new(store, &self.object, policy, CancellationToken::new())
    }

    async fn read(&self) -> Result<Vec<u8>, ReadError> {
        let (mut reader, mut bytes) = (self.reader(), Vec::new());
        while let Some(piece) = reader.next().await? {
            assert!(!piece.is_empty() && piece.len() <= MAX_PIECE);
            bytes.extend_from_slice(&piece);
        }
        assert!(reader.next().await?.is_none());
        Ok(bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn broken_and_short_bodies_are_resumed() {
    for size in [0, 1, MAX_PIECE, 5 * MAX_PIECE + 3] {
        for seed in 0..20 {
            let faults =
                Faults { seed, truncated: 500, unavailable: 200, throttled: 100, ..Faults::default() };
            let world = world(size, faults).await;
            assert!(world.read().await.unwrap() == world.bytes, "seed {seed}, size {size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_ends_the_reading() {
    let world = world(10, Faults { unavailable: 1000, ..Faults::default() }).await;
    let error = world.read().await.unwrap_err();
    assert!(matches!(error, ReadError::Unreachable { reason: Reason::Attempts, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_only_drip_end_the_reading() {
    // Every body is cut, so that progress is by chance; small pieces do not earn new attempts for ever.
    let world = world(MAX_PIECE, Faults { truncated: 1000, ..Faults::default() }).await;
    assert!(matches!(world.read().await, Err(ReadError::Unreachable { .. })));
}

#[tokio::test]
async fn what_happened_to_the_object_is_told_apart() {
    let world = world(4 * MAX_PIECE, Faults::default()).await;
    let mut reader = world.reader();
    reader.next().await.unwrap().unwrap();
    world.inner.put("k", world.bytes.clone().into(), &PutOptions::default()).await.unwrap();
    assert!(matches!(world.read().await, Err(ReadError::Changed(_))));
    // The body that is open goes on; one that must be opened again does not.
    reader.body = None;
    assert!(matches!(reader.next().await, Err(ReadError::Changed(_))));
    assert!(matches!(reader.next().await, Ok(None)), "a reader is over after an error");
    world.inner.remove("k");
    assert!(matches!(world.read().await, Err(ReadError::Vanished(_))));
}

#[tokio::test]
async fn an_object_without_an_etag_is_pinned_by_the_first_answer() {
    let mut world = world(4 * MAX_PIECE, Faults::default()).await;
    world.object.etag.clear();
    let mut reader = world.reader();
    reader.open().await.unwrap();
    world.inner.put("k", world.bytes.clone().into(), &PutOptions::default()).await.unwrap();
    reader.body = None;
    assert!(matches!(reader.next().await, Err(ReadError::Changed(_))));
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_the_pauses() {
    let world = world(10, Faults { unavailable: 1000, ..Faults::default() }).await;
    let mut reader = world.reader();
    reader.cancel.cancel();
    assert!(matches!(reader.next().await, Err(ReadError::Cancelled)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_loses_nothing() {
    let slow = Duration::from_millis(50)..Duration::from_millis(51);
    let world = world(3 * MAX_PIECE, Faults { delay: Some(slow), ..Faults::default() }).await;
    let (mut reader, mut bytes, mut dropped) = (world.reader(), Vec::new(), 0);
    loop {
        let limit = Duration::from_millis(if dropped < 3 { 10 } else { 100 });
        match tokio::time::timeout(limit, reader.next()).await {
            Err(_) => dropped += 1,
            Ok(piece) => match piece.unwrap() {
                Some(piece) => bytes.extend_from_slice(&piece),
                None => break,
            },
        }
    }
    assert!(dropped == 3 && bytes == world.bytes);
}

#[tokio::test]
async fn the_whole_is_read_under_a_cap() {
    for size in [0, 100, 3 * MAX_PIECE] {
        let world = world(size, Faults::default()).await;
        let (meta, bytes) = world.reader().read_to_end(size as u64).await.unwrap();
        assert!(bytes == world.bytes && meta.size == size as u64);
        if size > 0 {
            let error = world.reader().read_to_end(size as u64 - 1).await.unwrap_err();
            assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
        }
    }
}
