//! What the tail asks of the haul: the inventory (the ledger), and an intake (the lanes' queues).

use std::sync::Arc;

use trailhaul_core::model::{AccountId, ObjectRef, StreamKey};
use trailhaul_core::plan::{Day, DayPlan, FoundObject};

use super::queue::{LaneQueue, Offer};
use crate::archive::lane_of;
use crate::ledger::{Ledger, LedgerError};
use crate::tail::{Found, Intake, IntakeClosed, Inventory, InventoryError, Offered};

/// The ledger as the tail's inventory.
#[derive(Debug)]
pub struct LedgerInventory(pub Ledger);

impl Inventory for LedgerInventory {
    fn known(
        &self,
        stream: &StreamKey,
        day: Day,
        from: &str,
        to: Option<&str>,
    ) -> Result<Vec<(String, String)>, InventoryError> {
        self.0.known(stream, day, from, to).map_err(|error| failed(stream, error))
    }

    fn record(&self, stream: &StreamKey, found: &[Found]) -> Result<(), InventoryError> {
        let objects: Vec<ObjectRef> = found.iter().map(|found| found.object.object.clone()).collect();
        self.0.record_found(stream, &objects).map_err(|error| failed(stream, error))
    }

    fn plan(&self, stream: &StreamKey) -> Result<Option<DayPlan>, InventoryError> {
        self.0.plan(stream).map_err(|error| failed(stream, error))
    }

    fn save_plan(&self, stream: &StreamKey, plan: &DayPlan) -> Result<(), InventoryError> {
        self.0.save_plan(stream, plan).map_err(|error| failed(stream, error))
    }
}

fn failed(stream: &StreamKey, error: LedgerError) -> InventoryError {
    InventoryError { stream: format!("{}/{}", stream.bucket, stream.prefix), source: Box::new(error) }
}

/// The lanes' queues as the tail's intake.
#[derive(Debug, Clone)]
pub struct LaneIntake {
    queues: Arc<[Arc<LaneQueue>]>,
}

impl LaneIntake {
    /// The intake of these lanes, by number.
    pub fn new(queues: &[Arc<LaneQueue>]) -> Self {
        Self { queues: queues.into() }
    }

    fn queue(&self, account: AccountId) -> Option<&Arc<LaneQueue>> {
        let lanes = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
        self.queues.get(usize::from(lane_of(account, lanes).0))
    }

    /// Offers what was found earlier and is not done, as far as there is room; with `wait`, waits for room.
    pub async fn offer_again(&self, ledger: &Ledger, wait: bool) -> Result<u64, LedgerError> {
        /// Objects read from the ledger at once.
        const PAGE: usize = 500;
        let (mut after, mut taken) = (None, 0);
        loop {
            let (objects, next) = ledger.found(after.as_deref(), PAGE)?;
            for object in objects {
                let Ok(found) = FoundObject::new(object) else { continue };
                // Digests are the audit's.
                if !found.family.holds_records() {
                    continue;
                }
                let Some(queue) = self.queue(found.account) else { continue };
                let offer = if wait { queue.offer(found).await } else { queue.try_offer(found) };
                taken += u64::from(offer == Offer::Taken);
            }
            match next {
                None => return Ok(taken),
                next => after = next,
            }
        }
    }
}

impl Intake for LaneIntake {
    fn room(&self, account: AccountId) -> usize {
        self.queue(account).map_or(0, |queue| queue.room(account))
    }

    fn offer(&self, found: Found) -> Result<Offered, IntakeClosed> {
        let Some(queue) = self.queue(found.object.account) else { return Err(IntakeClosed) };
        // A lane that has ended refuses: the object stays recorded as found, and the other lanes go on.
        Ok(match queue.offer_recorded(found.object) {
            Offer::Taken | Offer::Known | Offer::Refused => Offered::Taken,
            Offer::Full => Offered::Full,
        })
    }
}
