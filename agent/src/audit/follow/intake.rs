//! The intake of the digest tails: a queue of its own, so that digests wait neither for lanes nor behind logs.
//!
//! In: digests that a tail has found and recorded. Out: the examiner's work. Invariant: a digest is in work once.
//! Bounded: [`QUEUE`] digests; a tail that offers more waits. What is offered when nobody takes it any more is
//! among the found objects, and taken up by the next start.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;
use trailhaul_core::model::{AccountId, ObjectRef};

use crate::tail::{Found, Intake, IntakeClosed};

/// Digests that wait.
const QUEUE: usize = 256;

/// Takes digests.
#[derive(Debug, Clone)]
pub struct DigestIntake {
    sender: mpsc::Sender<ObjectRef>,
    working: Arc<Mutex<HashSet<String>>>,
}

impl DigestIntake {
    /// An intake, and the end from which the examiner takes.
    pub(super) fn new() -> (Self, mpsc::Receiver<ObjectRef>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, working: Arc::default() }, receiver)
    }

    /// Waits for room; `false` when nobody takes digests any more. One that is in work already is dropped.
    pub(super) async fn put(&self, digest: ObjectRef) -> bool {
        let name = digest.to_string();
        if !self.working().insert(name.clone()) {
            return true;
        }
        let taken = self.sender.send(digest).await.is_ok();
        if !taken {
            self.working().remove(&name);
        }
        taken
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

#[async_trait]
impl Intake for DigestIntake {
    fn has_room(&self, _account: AccountId) -> bool {
        self.sender.capacity() > 0
    }

    async fn offer(&self, found: Found) -> Result<(), IntakeClosed> {
        if self.put(found.object.object).await { Ok(()) } else { Err(IntakeClosed) }
    }
}
