//! The two neighbours of the tail: the inventory (the ledger's), which knows what was found, and the intake
//! (the haul's), which takes what is new.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use trailhaul_core::model::{AccountId, StreamKey};
use trailhaul_core::plan::{Day, DayPlan, FoundObject, Standing};

/// An object that the tail has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The object.
    pub object: FoundObject,
    /// [`Standing::New`], or [`Standing::Changed`] where the inventory knows the key with another ETag.
    pub standing: Standing,
}

/// Why the inventory could not answer.
#[derive(Debug, thiserror::Error)]
#[error("use the inventory of {stream}")]
pub struct InventoryError {
    /// The stream that was asked about.
    pub stream: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What was found and done. Calls may block for some milliseconds; the tail makes them off its threads.
/// Later changes are never more durable than earlier ones.
pub trait Inventory: Send + Sync + fmt::Debug {
    /// File names and ETags that are known of a day folder, from the name `from` to the name `to` (both
    /// included; to the end without `to`), in byte order: found ones and done ones alike.
    fn known(
        &self,
        stream: &StreamKey,
        day: Day,
        from: &str,
        to: Option<&str>,
    ) -> Result<Vec<(String, String)>, InventoryError>;

    /// Records objects of a stream as found, in key order. From then on they are known, and after a restart
    /// whoever owns the inventory offers again those that are not done.
    fn record(&self, stream: &StreamKey, found: &[Found]) -> Result<(), InventoryError>;

    /// The plan that was saved for a stream.
    fn plan(&self, stream: &StreamKey) -> Result<Option<DayPlan>, InventoryError>;

    /// Saves a stream's plan.
    fn save_plan(&self, stream: &StreamKey, plan: &DayPlan) -> Result<(), InventoryError>;
}

/// Nobody takes objects any more: the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("objects are no longer taken in")]
pub struct IntakeClosed;

/// What became of an offered object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It was taken, or whoever takes it has it already.
    Taken,
    /// There is no room now. It stays in the inventory, and is offered again from there.
    Full,
}

/// Takes found objects: the queues of the lanes. Bounded, which is what slows the tail down. Nothing here waits: a
/// stream without room gives its turn to another.
pub trait Intake: Send + Sync + fmt::Debug {
    /// How many objects of this account would be taken right now.
    fn room(&self, account: AccountId) -> usize;

    /// Hands an object over for which there was room a moment ago.
    fn offer(&self, found: Found) -> Result<Offered, IntakeClosed>;
}

/// Is told how far listings have come: absence can only be concluded from a listing.
pub trait Listed: Send + Sync + fmt::Debug {
    /// A listing of this stream came to its end; the plan knows which days were listed and when.
    fn listed(&self, stream: &StreamKey, plan: &DayPlan);

    /// A walk over the folders of the bucket that began at `began` (Unix seconds) came to its end; `whole` where
    /// no folder was left out. So many streams are known by now.
    fn walked(&self, began: i64, whole: bool, streams: usize);
}

/// An inventory in memory, for tests and simulations; it grows with what it is told.
#[derive(Debug, Default)]
pub struct MemoryInventory(Mutex<MemoryState>);

#[derive(Debug, Default)]
struct MemoryState {
    /// Name to ETag, per stream and day.
    names: BTreeMap<(StreamKey, Day), BTreeMap<String, String>>,
    plans: BTreeMap<StreamKey, DayPlan>,
}

impl MemoryInventory {
    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inventory for MemoryInventory {
    fn known(
        &self,
        stream: &StreamKey,
        day: Day,
        from: &str,
        to: Option<&str>,
    ) -> Result<Vec<(String, String)>, InventoryError> {
        let state = self.state();
        let Some(names) = state.names.get(&(stream.clone(), day)) else { return Ok(Vec::new()) };
        let names =
            names.range(from.to_owned()..).take_while(|(name, _)| to.is_none_or(|to| name.as_str() <= to));
        Ok(names.map(|(name, etag)| (name.clone(), etag.clone())).collect())
    }

    fn record(&self, stream: &StreamKey, found: &[Found]) -> Result<(), InventoryError> {
        let mut state = self.state();
        for Found { object, .. } in found {
            let names = state.names.entry((stream.clone(), object.day)).or_default();
            let key = &object.object.key;
            let name = key.rsplit('/').next().unwrap_or(key);
            names.insert(name.to_owned(), object.object.etag.clone());
        }
        Ok(())
    }

    fn plan(&self, stream: &StreamKey) -> Result<Option<DayPlan>, InventoryError> {
        Ok(self.state().plans.get(stream).cloned())
    }

    fn save_plan(&self, stream: &StreamKey, plan: &DayPlan) -> Result<(), InventoryError> {
        self.state().plans.insert(stream.clone(), plan.clone());
        Ok(())
    }
}
