//! The intake of the digest tails: a queue of its own, so that digests wait neither for lanes nor behind logs.
//!
//! In: digests that a tail has found and recorded. Out: the examiner's work. Invariant: a digest is in work once.
//! Bounded: [`QUEUE`] digests, and [`LATE`] of listings that saw the same room; a tail without room lists others. What is offered when nobody takes it any more is
//! among the found objects, and taken up by the next start.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use trailhaul_core::model::{AccountId, ObjectRef};

use crate::tail::{Found, Intake, IntakeClosed, Offered};

/// Digests that wait.
const QUEUE: usize = 256;
/// Digests that one page of a listing may bring.
const AT_ONCE: usize = 64;
/// Room for pages that are read at the same time and see the same room: there are never more than 64 of them.
const LATE: usize = 64 * AT_ONCE;

/// Who waits for room looks so often.
const LOOK: Duration = Duration::from_millis(20);

/// Takes digests.
#[derive(Debug, Clone)]
pub struct DigestIntake {
    sender: mpsc::Sender<ObjectRef>,
    working: Arc<Mutex<HashSet<String>>>,
}

impl DigestIntake {
    /// An intake, and the end from which the examiner takes.
    pub(super) fn new() -> (Self, mpsc::Receiver<ObjectRef>) {
        let (sender, receiver) = mpsc::channel(QUEUE + LATE);
        (Self { sender, working: Arc::default() }, receiver)
    }

    /// Waits for room; `false` when nobody takes digests any more. One that is in work already is dropped.
    pub(super) async fn put(&self, digest: ObjectRef) -> bool {
        let name = digest.to_string();
        if !self.working().insert(name.clone()) {
            return true;
        }
        // The rest of the channel is for who cannot wait.
        while self.sender.capacity() <= LATE && !self.sender.is_closed() {
            tokio::time::sleep(LOOK).await;
        }
        let taken = self.sender.send(digest).await.is_ok();
        if !taken {
            self.working().remove(&name);
        }
        taken
    }

    /// Work on a digest begins anew; its name.
    pub(super) fn begun(&self, digest: &ObjectRef) -> String {
        let name = digest.to_string();
        self.working().insert(name.clone());
        name
    }

    /// Work on a digest has ended, one way or another.
    pub(super) fn ended(&self, digest: &ObjectRef) {
        self.working().remove(&digest.to_string());
    }

    /// Whether nothing waits and nothing is in work.
    pub(super) fn is_idle(&self) -> bool {
        self.working().is_empty()
    }

    fn working(&self) -> MutexGuard<'_, HashSet<String>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intake for DigestIntake {
    fn room(&self, _account: AccountId) -> usize {
        self.sender.capacity().saturating_sub(LATE).min(AT_ONCE)
    }

    fn offer(&self, found: Found) -> Result<Offered, IntakeClosed> {
        let digest = found.object.object;
        let name = digest.to_string();
        if !self.working().insert(name.clone()) {
            return Ok(Offered::Taken);
        }
        let Err(refused) = self.sender.try_send(digest) else { return Ok(Offered::Taken) };
        self.working().remove(&name);
        match refused {
            TrySendError::Full(_) => Ok(Offered::Full),
            TrySendError::Closed(_) => Err(IntakeClosed),
        }
    }
}
