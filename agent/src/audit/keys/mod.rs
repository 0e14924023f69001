//! CloudTrail's public keys: where they come from, and those known so far.
//!
//! ```text
//!  saved files ──┐
//!  the journal ──┴► Keys ──► the ring that digests are examined with
//!  CloudTrail ─────► asked once per region and range; what it answers is kept by the caller
//! ```
//!
//! In: keys known beforehand, and a [`KeySource`] where one may be asked. Out: a [`KeyRing`]. Invariants: a
//! region is asked only for a time that it was not yet asked for; a key that was known stays known when
//! asking fails. Failure: the region and the reason, and the ring as it was.

mod ask;
mod file;
mod kept;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use trailhaul_core::verify::{KeyChoice, KeyRing, PublicKey};

pub use ask::AskCloudTrail;
pub use file::{KeyFileError, load_key_file};
pub use kept::load_kept_keys;

/// How far beyond a range keys are asked for, in seconds: a digest may be signed with a key whose validity
/// begins up to two hours after its end (what the AWS CLI allows around a rotation).
const SLACK: i64 = 2 * 3600;

/// Fetched keys that wait to be taken. Some keys a month and region: beyond it they are only not kept.
const MAX_FETCHED: usize = 10_000;

/// Somewhere to ask for public keys.
#[async_trait]
pub trait KeySource: Send + Sync + fmt::Debug {
    /// The keys of a region whose validity touches `from..=until` (seconds since the Unix epoch).
    async fn public_keys(
        &self,
        region: &str,
        from: i64,
        until: i64,
    ) -> Result<Vec<PublicKey>, KeySourceError>;
}

/// No answer about the keys of a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no public keys of {region}: {why}")]
pub struct KeySourceError {
    /// The region.
    pub region: String,
    /// Every caller's reason.
    pub why: String,
}

/// The keys known so far, and where to ask for more. Shared by everybody who examines digests.
#[derive(Debug)]
pub struct Keys {
    source: Option<Arc<dyn KeySource>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ring: Arc<KeyRing>,
    /// For each region the one stretch of time that was asked for.
    asked: BTreeMap<String, (i64, i64)>,
    /// Keys that came from the source and have not been taken.
    fetched: Vec<(String, PublicKey)>,
}

impl Keys {
    /// The keys known beforehand; without a source no others will come.
    pub fn new(known: KeyRing, source: Option<Arc<dyn KeySource>>) -> Self {
        let state = State { ring: Arc::new(known), ..State::default() };
        Self { source, state: Mutex::new(state) }
    }

    /// What is known now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.lock().ring)
    }

    /// What is known for digests of a region that end within `from..=until`, after asking for what was not
    /// asked for yet. The stretch asked for has no holes: it grows to hold every range.
    ///
    /// # Errors
    /// The source could not answer. [`Keys::ring`] still has what was known.
    pub async fn for_range(
        &self,
        region: &str,
        from: i64,
        until: i64,
    ) -> Result<Arc<KeyRing>, KeySourceError> {
        let Some(source) = &self.source else { return Ok(self.ring()) };
        // Copied, so that the lock is not held while the ring is taken.
        let asked = self.lock().asked.get(region).copied();
        let (from, until) = match asked {
            Some((first, last)) if first <= from && until <= last => return Ok(self.ring()),
            Some((first, last)) => (from.min(first), until.max(last)),
            None => (from, until),
        };
        let keys =
            source.public_keys(region, from.saturating_sub(SLACK), until.saturating_add(SLACK)).await?;
        let mut state = self.lock();
        let mut ring = (*state.ring).clone();
        for key in &keys {
            let new = !ring.iter().any(|(of, known)| of == Some(region) && known == key);
            if new && state.fetched.len() < MAX_FETCHED {
                state.fetched.push((region.to_owned(), key.clone()));
            }
        }
        ring.add(Some(region), keys);
        state.ring = Arc::new(ring);
        state.asked.insert(region.to_owned(), (from, until));
        Ok(Arc::clone(&state.ring))
    }

    /// What is known for one digest; asks only where its key is not known yet.
    ///
    /// # Errors
    /// The source could not answer.
    pub async fn for_digest(
        &self,
        region: &str,
        fingerprint: &str,
        signed_at: i64,
    ) -> Result<Arc<KeyRing>, KeySourceError> {
        let ring = self.ring();
        if matches!(ring.choose(region, fingerprint, signed_at), KeyChoice::Found(_)) {
            return Ok(ring);
        }
        self.for_range(region, signed_at, signed_at).await
    }

    /// The keys that the source answered and that nobody knew before, with their regions: to be kept. Each
    /// is handed out once.
    pub fn take_fetched(&self) -> Vec<(String, PublicKey)> {
        std::mem::take(&mut self.lock().fetched)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers a key per call, named by its number, and writes down what it was asked.
    #[derive(Debug, Default)]
    struct Scripted {
        asked: Mutex<Vec<(String, i64, i64)>>,
        fails: Mutex<bool>,
    }

    #[async_trait]
    impl KeySource for Scripted {
        async fn public_keys(
            &self,
            region: &str,
            from: i64,
            until: i64,
        ) -> Result<Vec<PublicKey>, KeySourceError> {
            if *self.fails.lock().unwrap() {
                return Err(KeySourceError { region: region.to_owned(), why: "denied".to_owned() });
            }
            let mut asked = self.asked.lock().unwrap();
            asked.push((region.to_owned(), from, until));
            Ok(vec![PublicKey::new(&format!("{:02x}", asked.len()), vec![1], 0, i64::MAX)])
        }
    }

    #[tokio::test]
    async fn a_range_is_asked_for_once_and_what_came_is_handed_out_once() {
        let source = Arc::new(Scripted::default());
        let keys = Keys::new(KeyRing::default(), Some(Arc::clone(&source) as Arc<dyn KeySource>));
        for (from, until) in [(100_000, 200_000), (110_000, 190_000), (100_000, 200_000)] {
            assert_eq!(keys.for_range("eu-west-1", from, until).await.unwrap().iter().count(), 1);
        }
        keys.for_range("us-east-1", 100_000, 200_000).await.unwrap();
        // The stretch grows without a hole.
        keys.for_range("eu-west-1", 300_000, 310_000).await.unwrap();
        let expected = [
            ("eu-west-1".to_owned(), 100_000 - SLACK, 200_000 + SLACK),
            ("us-east-1".to_owned(), 100_000 - SLACK, 200_000 + SLACK),
            ("eu-west-1".to_owned(), 100_000 - SLACK, 310_000 + SLACK),
        ];
        assert_eq!(*source.asked.lock().unwrap(), expected);
        assert_eq!(keys.take_fetched().len(), 3);
        assert_eq!(keys.take_fetched().len(), 0);
    }

    #[tokio::test]
    async fn a_digest_asks_only_for_a_key_that_is_not_known() {
        let source = Arc::new(Scripted::default());
        let keys = Keys::new(KeyRing::default(), Some(Arc::clone(&source) as Arc<dyn KeySource>));
        let mut known = KeyRing::default();
        known.add(Some("eu-west-1"), [PublicKey::new("ab", vec![1], 0, i64::MAX)]);
        let offline = Keys::new(known, None);
        assert_eq!(offline.for_digest("eu-west-1", "cd", 5).await.unwrap().iter().count(), 1);
        for _ in 0..3 {
            keys.for_digest("eu-west-1", "cd", 500_000).await.unwrap();
        }
        assert_eq!(source.asked.lock().unwrap().len(), 1, "an unknown key is not asked for again and again");
        keys.for_digest("eu-west-1", "cd", 503_600).await.unwrap();
        assert_eq!(source.asked.lock().unwrap().len(), 2, "but for a later digest it is");
    }

    #[tokio::test]
    async fn what_was_known_stays_known_when_asking_fails() {
        let source = Arc::new(Scripted::default());
        let keys = Keys::new(KeyRing::default(), Some(Arc::clone(&source) as Arc<dyn KeySource>));
        keys.for_range("eu-west-1", 0, 1).await.unwrap();
        *source.fails.lock().unwrap() = true;
        let error = keys.for_range("eu-west-1", 0, 9).await.unwrap_err();
        assert_eq!(error.to_string(), "no public keys of eu-west-1: denied");
        assert_eq!(keys.ring().iter().count(), 1);
        *source.fails.lock().unwrap() = false;
        assert_eq!(keys.for_range("eu-west-1", 0, 9).await.unwrap().iter().count(), 2);
    }
}
