use std::time::Duration;

use super::*;
use crate::store::{MemoryStore, conformance};

fn faulty(faults: Faults) -> (Arc<MemoryStore>, FaultyStore) {
    let inner = Arc::new(MemoryStore::new("faulty"));
    let store = FaultyStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>, Steps::new(), faults);
    (inner, store)
}

async fn put(store: &dyn ObjectStore, key: &str) -> Result<ObjectMeta, ErrorKind> {
    let body = Bytes::from(vec![b'x'; 10_000]);
    store.put(key, body, &PutOptions::default()).await.map_err(|error| error.kind())
}

#[tokio::test]
async fn without_faults_it_conforms() {
    let (_, store) = faulty(Faults::default());
    conformance::check(&store, "p/").await.unwrap();
    conformance::check_keys(&store, "p/").await.unwrap();
}

#[tokio::test]
async fn everything_freezes_together_at_the_chosen_step() {
    for (when, there) in [(When::Before, false), (When::After, true)] {
        let steps = Steps::new();
        steps.freeze_at(3, when);
        let inner = Arc::new(MemoryStore::new("inner"));
        let store = |steps: &Arc<Steps>| {
            let inner = Arc::clone(&inner) as Arc<dyn ObjectStore>;
            FaultyStore::new(inner, Arc::clone(steps), Faults::default())
        };
        let (one, other) = (store(&steps), store(&steps));
        put(&one, "1").await.unwrap();
        assert_eq!(steps.around(|| "a transaction"), Ok("a transaction"));
        assert_eq!(put(&other, "3").await, Err(ErrorKind::Other));
        assert_eq!(inner.head("3").await.unwrap().is_some(), there, "{when:?}");
        assert!(steps.is_frozen() && steps.taken() == 3);
        let error = one.head("1").await.unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().is::<Frozen>());
        assert_eq!(put(&one, "4").await, Err(ErrorKind::Other));
        assert_eq!(steps.around(|| ()), Err(Frozen));
        assert_eq!(inner.head("4").await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_seed_decides_whatever_the_order_of_calls() {
    let faults = |seed| Faults { seed, unavailable: 300, ..Faults::default() };
    let keys: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let mut outcomes = Vec::new();
    for (seed, backwards) in [(1, false), (1, true), (2, false)] {
        let (_, store) = faulty(faults(seed));
        let mut bad = Vec::new();
        let mut order: Vec<_> = keys.iter().collect();
        if backwards {
            order.reverse();
        }
        for key in order {
            if put(&store, key).await.is_err() {
                bad.push(key.clone());
            }
        }
        bad.sort();
        assert!((30..90).contains(&bad.len()), "{} of 200", bad.len());
        outcomes.push(bad);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
}

#[tokio::test]
async fn a_lost_answer_leaves_its_effect_and_a_refused_call_does_not() {
    let (inner, store) = faulty(Faults { lost_answers: 1000, ..Faults::default() });
    assert_eq!(put(&store, "lost").await, Err(ErrorKind::Unavailable));
    assert!(inner.head("lost").await.unwrap().is_some());
    for (faults, kind) in [
        (Faults { unavailable: 1000, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { throttled: 1000, ..Faults::default() }, ErrorKind::Throttled),
        (Faults { conflict: 1000, ..Faults::default() }, ErrorKind::Conflict),
        (Faults { full: true, ..Faults::default() }, ErrorKind::Full),
        (Faults { denied: true, ..Faults::default() }, ErrorKind::Denied),
    ] {
        store.set(faults);
        assert_eq!(put(&store, "refused").await, Err(kind));
        assert!(inner.head("refused").await.unwrap().is_none(), "{kind:?}");
    }
    store.set(Faults { vanished: 1000, ..Faults::default() });
    assert_eq!(store.list(&ListRequest::default()).await.unwrap().objects.len(), 1);
    assert_eq!(store.head("lost").await.unwrap(), None);
    assert_eq!(store.get("lost", GetOptions::default()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn calls_can_be_slow() {
    let slow = Duration::from_secs(5)..Duration::from_secs(6);
    let (_, store) = faulty(Faults { delay: Some(slow.clone()), ..Faults::default() });
    let began = tokio::time::Instant::now();
    put(&store, "k").await.unwrap();
    assert!(slow.contains(&began.elapsed()));
}

#[tokio::test]
async fn bodies_are_cut_both_ways() {
    let (_, store) = faulty(Faults { seed: 3, truncated: 1000, ..Faults::default() });
    put(&store, "k").await.unwrap();
    let (mut quiet, mut loud) = (0, 0);
    for _ in 0..40 {
        match conformance::read(store.get("k", GetOptions::default()).await.unwrap()).await {
            Ok(bytes) if bytes.len() < 10_000 => quiet += 1,
            Ok(_) => panic!("a body was not cut"),
            Err(_) => loud += 1,
        }
    }
    assert!(quiet > 5 && loud > 5, "{quiet} quiet, {loud} loud");
}
