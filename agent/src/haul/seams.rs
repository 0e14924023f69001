//! What the tail asks of the haul: the inventory (the ledger), and an intake (the lanes' queues).

use std::collections::BTreeMap;
use std::sync::Arc;

use trailhaul_core::model::{AccountId, ObjectRef, StreamKey};
use trailhaul_core::plan::{Day, DayPlan, FoundObject};

use super::hold::{Gate, Hold};
use super::queue::{LaneQueue, Offer};
use crate::archive::lane_of;
use crate::ledger::{Ledger, LedgerError};
use crate::tail::{Found, Intake, IntakeClosed, Inventory, InventoryError, Offered};
use crate::telemetry::Series;

/// The ledger as the tail's inventory.
#[derive(Debug)]
pub struct LedgerInventory {
    ledger: Ledger,
    found: Option<Series>,
}

impl LedgerInventory {
    /// The inventory in this ledger; what is found is counted in `found`.
    pub fn new(ledger: Ledger, found: Option<Series>) -> Self {
        Self { ledger, found }
    }
}

impl Inventory for LedgerInventory {
    fn known(
        &self,
        stream: &StreamKey,
        day: Day,
        from: &str,
        to: Option<&str>,
    ) -> Result<Vec<(String, String)>, InventoryError> {
        self.ledger.known(stream, day, from, to).map_err(|error| failed(stream, error))
    }

    fn record(&self, stream: &StreamKey, found: &[Found]) -> Result<(), InventoryError> {
        let objects: Vec<ObjectRef> = found.iter().map(|found| found.object.object.clone()).collect();
        let new = self.ledger.record_found(stream, &objects).map_err(|error| failed(stream, error))?;
        if let Some(series) = &self.found {
            series.add(new);
        }
        Ok(())
    }

    fn plan(&self, stream: &StreamKey) -> Result<Option<DayPlan>, InventoryError> {
        self.ledger.plan(stream).map_err(|error| failed(stream, error))
    }

    fn save_plan(&self, stream: &StreamKey, plan: &DayPlan) -> Result<(), InventoryError> {
        self.ledger.save_plan(stream, plan).map_err(|error| failed(stream, error))
    }
}

fn failed(stream: &StreamKey, error: LedgerError) -> InventoryError {
    InventoryError { stream: format!("{}/{}", stream.bucket, stream.prefix), source: Box::new(error) }
}

/// The lanes' queues as the tail's intake.
#[derive(Debug, Clone)]
pub struct LaneIntake {
    queues: Arc<[Arc<LaneQueue>]>,
    hold: Option<Hold>,
}

impl LaneIntake {
    /// The intake of these lanes, by number.
    pub fn new(queues: &[Arc<LaneQueue>]) -> Self {
        Self { queues: queues.into(), hold: None }
    }

    /// The same, where objects wait for their digests.
    #[must_use]
    pub fn holding(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    fn queue(&self, account: AccountId) -> Option<&Arc<LaneQueue>> {
        let lanes = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
        self.queues.get(usize::from(lane_of(account, lanes).0))
    }

    /// Offers what was found earlier and is not done, as far as there is room and it need not wait for a digest;
    /// with `wait`, waits for room.
    pub async fn offer_again(&self, ledger: &Ledger, wait: bool) -> Result<u64, LedgerError> {
        /// Objects read from the ledger at once.
        const PAGE: usize = 500;
        let (mut after, mut taken, mut expired) = (None, 0, BTreeMap::new());
        loop {
            let (objects, next) = ledger.found(after.as_deref(), PAGE)?;
            let mut held = Vec::new();
            for object in objects {
                let Ok(found) = FoundObject::new(object) else { continue };
                let Some(queue) = self.queue(found.account) else { continue };
                let gate = self.hold.as_ref().map_or(Ok(Gate::Vouched), |hold| hold.gate(&found.object))?;
                if let Gate::Wait { noted } = gate {
                    if !noted {
                        held.push(found.object);
                    }
                    continue;
                }
                let bucket = found.object.bucket.to_string();
                let offer = if wait { queue.offer(found).await } else { queue.try_offer(found) };
                if offer == Offer::Taken {
                    taken += 1;
                    if gate == Gate::Expired {
                        *expired.entry(bucket).or_default() += 1;
                    }
                }
            }
            if let Some(hold) = &self.hold {
                hold.hold(&held)?;
            }
            match next {
                None => break,
                next => after = next,
            }
        }
        if let Some(hold) = &self.hold {
            hold.expired(&expired)?;
        }
        Ok(taken)
    }
}

impl Intake for LaneIntake {
    fn room(&self, account: AccountId) -> usize {
        self.queue(account).map_or(0, |queue| queue.room(account))
    }

    fn offer(&self, found: Found) -> Result<Offered, IntakeClosed> {
        let Some(queue) = self.queue(found.object.account) else { return Err(IntakeClosed) };
        if let Some(hold) = &self.hold {
            match hold.gate(&found.object.object) {
                Ok(Gate::Vouched) => {}
                // It stays recorded as found; housekeeping offers it when its time has come.
                Ok(Gate::Wait { .. } | Gate::Expired) => return Ok(Offered::Taken),
                Err(error) => {
                    tracing::error!(%error, "cannot ask the ledger for digests");
                    return Err(IntakeClosed);
                }
            }
        }
        // A lane that has ended refuses: the object stays recorded as found, and the other lanes go on.
        Ok(match queue.offer_recorded(found.object) {
            Offer::Taken | Offer::Known | Offer::Refused => Offered::Taken,
            Offer::Full => Offered::Full,
        })
    }
}
