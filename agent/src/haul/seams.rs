//! What the tail asks of the haul: the inventory (the ledger), and an intake (the lanes' queues).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use trailhaul_core::model::{AccountId, ObjectRef, StreamKey};
use trailhaul_core::plan::{Day, DayPlan, Start};

use super::hold::{Gate, Hold};
use super::queue::{LaneQueue, Offer};
use crate::archive::lane_of;
use crate::ledger::{Ledger, LedgerError, Unhauled, UnhauledPages};
use crate::tail::{Found, Intake, IntakeClosed, Inventory, InventoryError, Offered};
use crate::telemetry::Series;

/// The ledger as the tail's inventory.
#[derive(Debug)]
pub struct LedgerInventory {
    ledger: Ledger,
    found: Option<Series>,
    hold: Option<Hold>,
    start: Start,
}

impl LedgerInventory {
    /// The inventory of this ledger; streams that nobody has listed begin at `start`.
    pub fn new(ledger: Ledger, start: Start) -> Self {
        Self { ledger, found: None, hold: None, start }
    }

    /// The same; what is found is counted in `found`.
    #[must_use]
    pub fn counting(self, found: Series) -> Self {
        Self { found: Some(found), ..self }
    }

    /// The same, where what is found waits for its digest from then on.
    #[must_use]
    pub fn holding(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
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
        let since = self.hold.as_ref().map(Hold::now);
        let new = self.ledger.record_held(stream, &objects, since).map_err(|error| failed(stream, error))?;
        if let Some(series) = &self.found {
            series.add(new);
        }
        Ok(())
    }

    fn plan(&self, stream: &StreamKey) -> Result<Option<DayPlan>, InventoryError> {
        let plan = self.ledger.plan(stream).map_err(|error| failed(stream, error))?;
        let Start::At(start) = self.start else { return Ok(plan) };
        if plan.is_some() {
            return Ok(plan);
        }
        // Objects are known and no plan is: the ledger was lost. What had waited may lie before a start that is said as
        // an age, such as -1d.
        let first = self.ledger.first_day_of(stream).map_err(|error| failed(stream, error))?;
        Ok(first.map(|day| DayPlan::new(Start::At(day.begin().min(start)))))
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
        let (mut taken, mut expired, mut waiting) = (0, BTreeMap::new(), HashMap::new());
        let mut pages = ledger.unhauled();
        while let (rest, Some(page)) = next_page(pages).await? {
            pages = rest;
            let mut held = Vec::new();
            for found in page {
                let Some(queue) = self.queue(found.found.account) else { continue };
                let gate = self.hold.as_ref().map_or(Gate::Vouched, |hold| hold.gate(&found));
                let Unhauled { found, held: since, .. } = found;
                if gate == Gate::Wait {
                    *waiting.entry(found.account).or_default() += 1;
                    held.extend(since.is_none().then_some(found.object));
                    continue;
                }
                let bucket = found.object.bucket.to_string();
                if gate == Gate::Expired && !expired.contains_key(&bucket) {
                    // Before any is hauled: a crash in between must not leave it untold.
                    self.hold.as_ref().map_or(Ok(()), |hold| hold.expires(&bucket))?;
                    expired.insert(bucket.clone(), 0);
                }
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
        }
        if let Some(hold) = &self.hold {
            hold.counted(waiting);
            hold.expired(&expired);
        }
        Ok(taken)
    }
}

/// Reads a page off the reactor.
async fn next_page(mut pages: UnhauledPages) -> Result<(UnhauledPages, Option<Vec<Unhauled>>), LedgerError> {
    /// Objects read from the ledger at once.
    const PAGE: usize = 500;
    let read = tokio::task::spawn_blocking(move || {
        let page = pages.next(PAGE)?;
        Ok((pages, page))
    });
    read.await.unwrap_or_else(|error| Err(LedgerError::Scratch(error.to_string())))
}

impl Intake for LaneIntake {
    fn room(&self, account: AccountId) -> usize {
        let room = self.queue(account).map_or(0, |queue| queue.room(account));
        self.hold.as_ref().map_or(room, |hold| room.min(hold.room(account)))
    }

    fn offer(&self, found: Found) -> Result<Offered, IntakeClosed> {
        let Some(queue) = self.queue(found.object.account) else { return Err(IntakeClosed) };
        if let Some(hold) = &self.hold {
            match hold.is_vouched(&found.object.object, found.object.account) {
                Ok(true) => {}
                // It stays recorded as found; it is offered again when its time has come.
                Ok(false) => return Ok(Offered::Taken),
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
