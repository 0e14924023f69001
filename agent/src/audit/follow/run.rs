//! The follower as a whole: a single pass, or beside the haul for ever.
//!
//! In: grounds with their digest tails, and the means. Out: verdicts and findings, until the stop. A pass ends
//! when everything that can be said was said; what the lanes have to haul first is told to the caller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use trailhaul_core::model::ObjectRef;
use trailhaul_core::plan::{Day, FoundObject};

use super::examiner::Examiner;
use super::intake::DigestIntake;
use super::verdicts::{Looked, look};
use super::{FollowMeans, FollowRules, Ground, Shared, Told, chains, sweep};
use crate::ledger::{LedgerError, RowMark};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Pages of the inventory swept in one round: ten million rows in three hours.
const SWEEP_PAGES: usize = 1;
/// Pages of awaited log files looked at in one round.
const LOOK_PAGES: usize = 4;

/// Rounds between two droppings of what has expired: about an hour.
const EXPIRE_EVERY: u32 = 1_800;

/// Follows digests; clones are the same follower.
#[derive(Debug, Clone)]
pub struct Follower {
    shared: Arc<Shared>,
    intake: DigestIntake,
    /// For the one who examines.
    receiver: Arc<Mutex<Option<mpsc::Receiver<ObjectRef>>>>,
}

/// What a look at everything came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Followed {
    /// Objects that were given to the lanes: look again when they are hauled.
    pub handed: u64,
    /// Log files whose verdict is open.
    pub open: u64,
    /// Log files that could not be asked for.
    pub unknown: u64,
    /// Digests that could not be read or judged.
    pub unread: u64,
    /// Chains whose newest digests are not there because CloudTrail could not deliver them.
    pub undelivered: u64,
}

impl Follower {
    /// A follower without grounds.
    pub fn new(means: FollowMeans, rules: FollowRules) -> Self {
        let (intake, receiver) = DigestIntake::new();
        let shared = Shared {
            means,
            rules,
            grounds: Default::default(),
            told: Told::default(),
            undelivered: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), intake, receiver: Arc::new(Mutex::new(Some(receiver))) }
    }

    /// Follows the digests of this bucket too.
    pub fn add(&self, ground: Arc<Ground>) {
        self.shared.add(ground);
    }

    /// Where the digest tails offer what they find.
    pub fn intake(&self) -> DigestIntake {
        self.intake.clone()
    }

    /// Ends the examination, before the process stops.
    pub fn stop(&self) {
        self.shared.means.stop.cancel();
    }

    /// Takes what the digest tails offer, until the stop. To be run once.
    ///
    /// # Errors
    /// When the ledger fails.
    pub fn examine(&self) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        let (shared, intake) = (Arc::clone(&self.shared), self.intake.clone());
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            match receiver {
                Some(receiver) => Examiner::new(shared, intake, receiver).run().await,
                None => Ok(()),
            }
        }
    }

    /// Offers the digests that were found by an earlier run and are not done.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn take_up(&self) -> Result<(), LedgerError> {
        let mut after = None;
        loop {
            let (ledger, from): (_, Option<RowMark>) = (self.shared.means.ledger.clone(), after);
            let (objects, next) = super::blocking(move || ledger.found(from.as_deref(), 500)).await?;
            for object in objects {
                let is_digest = FoundObject::new(object.clone()).is_ok_and(|f| !f.family.holds_records());
                if is_digest && !self.intake.put(object).await {
                    return Ok(());
                }
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    /// Whether each stream of digests was listed to its end by this process, and what was found was examined.
    pub fn is_caught_up(&self) -> bool {
        let grounds = self.shared.grounds.read().unwrap_or_else(PoisonError::into_inner);
        grounds.iter().all(|ground| ground.listings.is_caught_up()) && self.intake.is_idle()
    }

    /// Waits until every digest that was offered was examined.
    pub async fn examined(&self) {
        while !self.intake.is_idle() && !self.shared.means.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks at everything once: awaited log files, then the whole inventory and all chains; these only in the
    /// `last` look, or when nothing was given to the lanes.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn look_at_all(&self, last: bool) -> Result<Followed, LedgerError> {
        let (mut looked, mut asking) = (Looked::default(), self.shared.asking());
        let mut after = None;
        loop {
            after = look(&self.shared, &mut asking, after, &mut looked).await?;
            if after.is_none() {
                break;
            }
        }
        let shared = &self.shared;
        let followed = |unread| Followed {
            handed: looked.handed,
            open: looked.open,
            unknown: looked.unknown,
            unread,
            undelivered: shared.undelivered.load(Ordering::Relaxed),
        };
        if looked.handed > 0 && !last {
            return Ok(followed(0));
        }
        let mut after = None;
        loop {
            after = sweep::sweep(&self.shared, after).await?;
            if after.is_none() {
                break;
            }
        }
        chains::follow_moves(&self.shared).await?;
        let mut after = None;
        loop {
            after = chains::review(&self.shared, &self.intake, after, true).await?;
            if after.is_none() {
                break;
            }
        }
        let ledger = self.shared.means.ledger.clone();
        let unread = super::blocking(move || chains::unread(&ledger)).await?;
        Ok(followed(unread))
    }

    /// Looks at everything bit by bit, until the stop.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn watch(self) -> Result<(), LedgerError> {
        let shared = &self.shared;
        let (mut awaited, mut swept, mut chain) = (None, None, None);
        let mut round = 0_u32;
        loop {
            if round.is_multiple_of(EXPIRE_EVERY) {
                let (ledger, before) = (shared.means.ledger.clone(), shared.now() - shared.rules.keep);
                super::blocking(move || ledger.expire_expected(Day::of(before))).await?;
            }
            round = round.wrapping_add(1);
            let (mut looked, mut asking) = (Looked::default(), shared.asking());
            for _ in 0..LOOK_PAGES {
                awaited = look(shared, &mut asking, awaited.take(), &mut looked).await?;
                if awaited.is_none() {
                    break;
                }
            }
            for _ in 0..SWEEP_PAGES {
                swept = sweep::sweep(shared, swept.take()).await?;
            }
            chain = chains::review(shared, &self.intake, chain.take(), false).await?;
            tokio::select! {
                () = shared.means.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }
}
