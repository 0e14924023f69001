//! One turn of a stream: a day folder from end to end, or one page of its history.
//!
//! In: a stream whose plan says that something is due. Out: the stream with its plan moved on, and counts.
//! Order within a page: recorded in the inventory, offered to the intake, and only then is the plan moved on
//! and saved. A turn that is broken off or dropped leaves the plan as it was: the listing is due again, and
//! what it recorded is in the inventory.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trailhaul_core::model::StreamKey;
use trailhaul_core::plan::{Day, DayPlan, Listing, Standing};

use super::inventory::InventoryError;
use super::lister::{Pass, TailConfig, TailError, TailSeams};
use super::page::{SiftError, Sifted, sift};
use super::streams::{TrailBucket, Walk, walk};
use crate::store::{ErrorKind, ListRequest};

/// What every turn of a tail needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) bucket: TrailBucket,
    pub(super) seams: TailSeams,
    pub(super) config: TailConfig,
    pub(super) cancel: CancellationToken,
}

/// A stream and where its listing stands.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) plan: DayPlan,
    /// The day on which the plan was saved last.
    pub(super) saved: Option<Day>,
}

/// What a turn came to.
pub(super) struct Turn {
    pub(super) index: usize,
    pub(super) stream: Stream,
    pub(super) pass: Pass,
    pub(super) result: Result<(), TurnError>,
}

/// Why a turn was broken off.
#[derive(Debug)]
pub(super) enum TurnError {
    /// This stream's own trouble: the class, where it is the store's, and what was said.
    Own(Option<ErrorKind>, String),
    /// Nobody can go on.
    Fatal(TailError),
    /// The intake is closed.
    Closed,
}

impl Context {
    /// Now, in seconds since the Unix epoch.
    pub(super) fn now(&self) -> i64 {
        self.seams.clock.now().as_second()
    }

    /// Walks the bucket.
    pub(super) async fn walk(&self) -> Walk {
        walk(&self.bucket, &self.config.retry, &self.cancel).await
    }

    /// One listing of a stream, if one is due at `now`.
    pub(super) async fn turn(&self, index: usize, mut stream: Stream, now: i64) -> Turn {
        let mut pass = Pass::default();
        let result = match stream.plan.next(&self.config.rules, now) {
            Some(listing) => self.list(&mut stream, &listing, now, &mut pass).await,
            None => Ok(()),
        };
        Turn { index, stream, pass, result }
    }

    /// Everything that is due of a stream at `now`.
    pub(super) async fn exhaust(&self, index: usize, mut stream: Stream, now: i64) -> Turn {
        let mut pass = Pass::default();
        while let Some(listing) = stream.plan.next(&self.config.rules, now) {
            if let Err(error) = self.list(&mut stream, &listing, now, &mut pass).await {
                return Turn { index, stream, pass, result: Err(error) };
            }
        }
        Turn { index, stream, pass, result: Ok(()) }
    }

    async fn list(
        &self,
        stream: &mut Stream,
        listing: &Listing,
        began: i64,
        pass: &mut Pass,
    ) -> Result<(), TurnError> {
        let (mut request, to) = request(&stream.key, listing);
        let is_history = matches!(listing, Listing::History { .. });
        let mut new = 0;
        let is_over = loop {
            let (sifted, next) = self.page(&stream.key, &request, to, pass).await?;
            let (last, is_past) = (sifted.last.clone(), sifted.is_past);
            new += sifted.found.len() as u64;
            self.offer(sifted, pass).await?;
            request.continuation = next;
            if is_past || request.continuation.is_none() {
                break true;
            }
            // One page of history at a time, so that others get their turn; empty pages do not count.
            if let Some(last) = last.filter(|_| is_history) {
                stream.plan.reached(&last);
                break false;
            }
        };
        if is_over {
            let now = self.now().max(began);
            stream.plan.done(&self.config.rules, listing, began, now, new);
            if let Some(listed) = &self.config.listed {
                listed.listed(&stream.key, &stream.plan);
            }
        }
        self.save(stream, listing, began).await
    }

    /// Reads one page and records what is new on it.
    async fn page(
        &self,
        key: &StreamKey,
        request: &ListRequest,
        to: Day,
        pass: &mut Pass,
    ) -> Result<(Sifted, Option<String>), TurnError> {
        let store = &self.bucket.store;
        let page = self.config.retry.run(&self.cancel, || store.list(request)).await;
        let page = page.map_err(|gave_up| {
            let error = gave_up.error;
            TurnError::Own(Some(error.kind()), error.to_string())
        })?;
        let (key, inventory, next) = (key.clone(), Arc::clone(&self.seams.inventory), page.next);
        let sifted = blocking(move || sift(&key, page.objects, to, &inventory)).await?;
        let sifted = sifted.map_err(|error| match error {
            SiftError::Order(error) => TurnError::Own(None, error.to_string()),
            SiftError::Inventory(error) => TurnError::Fatal(error.into()),
        })?;
        pass.pages += 1;
        pass.logs += sifted.logs;
        pass.foreign += sifted.foreign;
        Ok((sifted, next))
    }

    async fn offer(&self, sifted: Sifted, pass: &mut Pass) -> Result<(), TurnError> {
        for found in sifted.found {
            match found.standing {
                Standing::Changed => pass.changed += 1,
                Standing::New | Standing::Known => pass.new += 1,
            }
            self.seams.intake.offer(found).await.map_err(|_| TurnError::Closed)?;
        }
        Ok(())
    }

    /// Saves the plan where losing it would cost more than a listing or two: history, and closed days; and
    /// once a day, so that days that closed while the agent was down are known as such.
    async fn save(&self, stream: &mut Stream, listing: &Listing, began: i64) -> Result<(), TurnError> {
        let today = Day::of(began);
        let is_recent = |day: Day| day.plus(i64::from(self.config.rules.look_back)) >= today;
        if stream.saved == Some(today) && matches!(listing, Listing::Day(day) if is_recent(*day)) {
            return Ok(());
        }
        let (key, plan) = (stream.key.clone(), stream.plan.clone());
        let inventory = Arc::clone(&self.seams.inventory);
        let saved: Result<(), InventoryError> = blocking(move || inventory.save_plan(&key, &plan)).await?;
        saved.map_err(|error| TurnError::Fatal(error.into()))?;
        stream.saved = Some(today);
        Ok(())
    }
}

/// Where a listing begins, and the last day that counts.
fn request(key: &StreamKey, listing: &Listing) -> (ListRequest, Day) {
    match listing {
        Listing::Day(day) => {
            let prefix = format!("{}{}", key.prefix, day.folder());
            (ListRequest { prefix, ..ListRequest::default() }, *day)
        }
        Listing::History { from, to, after } => {
            let first = || format!("{}{}", key.prefix, from.folder());
            let start_after = Some(after.clone().unwrap_or_else(first));
            (ListRequest { prefix: key.prefix.clone(), start_after, ..ListRequest::default() }, *to)
        }
    }
}

/// Runs a call to the inventory off the reactor.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TurnError> {
    let outcome = tokio::task::spawn_blocking(call).await;
    outcome.map_err(|error| TurnError::Fatal(TailError::Broken(error.to_string())))
}
