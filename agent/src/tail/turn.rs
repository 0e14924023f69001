//! One turn of a stream: a day folder from end to end, or one page of its history.
//!
//! In: a stream whose plan says that something is due. Out: the stream with its plan moved on, and counts.
//! Order within a page: recorded in the inventory, offered to the intake, and only then is the plan moved on
//! and saved. Of a page only so much is recorded as the intake has room for; where that is not all the turn ends,
//! keeps nothing but the key to go on after, and others get theirs. A turn that is broken off or dropped leaves the
//! plan as it was: the listing is due again, and what it recorded is in the inventory.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use trailhaul_core::model::StreamKey;
use trailhaul_core::plan::{Day, DayPlan, Listing, Standing};

use super::inventory::InventoryError;
use super::lister::{Pass, TailConfig, TailError, TailSeams};
use super::page::{SiftError, Sifted, sift};
use super::pages::{Place, Slowness};
use super::streams::{Lister, TrailBucket, Walk, walk};
use crate::store::{ErrorKind, ListRequest};

/// What every turn of a tail needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) bucket: TrailBucket,
    pub(super) seams: TailSeams,
    pub(super) config: TailConfig,
    pub(super) cancel: CancellationToken,
    pub(super) slowness: Slowness,
}

/// A stream and where its listing stands.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) plan: DayPlan,
    /// The day on which the plan was saved last.
    pub(super) saved: Option<Day>,
    /// A listing that ended for want of room.
    pub(super) rest: Option<Rest>,
}

/// Where a day's listing goes on that ended for want of room.
#[derive(Debug)]
pub(super) struct Rest {
    day: Day,
    after: Option<String>,
    began: i64,
    new: u64,
}

impl Stream {
    pub(super) fn new(key: StreamKey, plan: DayPlan) -> Self {
        Self { key, plan, saved: None, rest: None }
    }
}

/// What a turn came to.
pub(super) struct Turn {
    pub(super) index: usize,
    pub(super) stream: Stream,
    pub(super) pass: Pass,
    pub(super) result: Result<Ended, TurnError>,
}

/// How a turn ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// What was due is listed.
    Done,
    /// There is no room for what comes next.
    NoRoom,
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
        let lister = self.lister();
        walk(&self.bucket, &lister).await
    }

    /// How this tail lists.
    fn lister(&self) -> Lister<'_> {
        let Self { seams, config, cancel, slowness, bucket } = self;
        Lister { store: &*bucket.store, pages: &seams.pages, slowness, retry: &config.retry, cancel }
    }

    /// One listing of a stream, if one is due at `now`.
    pub(super) async fn turn(&self, index: usize, mut stream: Stream, now: i64) -> Turn {
        let mut pass = Pass::default();
        let result = match stream.plan.next(&self.config.rules, now) {
            Some(listing) => self.list(&mut stream, &listing, now, &mut pass).await,
            None => Ok(Ended::Done),
        };
        Turn { index, stream, pass, result }
    }

    /// Everything that is due of a stream at `now`, as far as there is room.
    pub(super) async fn exhaust(&self, index: usize, mut stream: Stream, now: i64) -> Turn {
        let mut pass = Pass::default();
        while let Some(listing) = stream.plan.next(&self.config.rules, now) {
            match self.list(&mut stream, &listing, now, &mut pass).await {
                Ok(Ended::Done) => {}
                ended => return Turn { index, stream, pass, result: ended },
            }
        }
        Turn { index, stream, pass, result: Ok(Ended::Done) }
    }

    async fn list(
        &self,
        stream: &mut Stream,
        listing: &Listing,
        began: i64,
        pass: &mut Pass,
    ) -> Result<Ended, TurnError> {
        let (mut request, to) = request(&stream.key, listing);
        let is_history = matches!(listing, Listing::History { .. });
        let rest = stream.rest.take().filter(|rest| *listing == Listing::Day(rest.day));
        let (mut new, mut began) = (0, began);
        if let Some(rest) = rest {
            (request.start_after, began, new) = (rest.after, rest.began, rest.new);
        }
        // The last key that was dealt with.
        let mut position = request.start_after.clone();
        let is_over = loop {
            let (sifted, next, place) = self.page(&stream.key, &request, to, pass).await?;
            let (last, is_past, cut) = (sifted.last.clone(), sifted.is_past, sifted.cut.clone());
            new += sifted.found.len() as u64;
            self.offer(sifted, pass)?;
            drop(place);
            if let Some(last) = cut {
                let after = last.or(position);
                return self.pause(stream, listing, Rest { day: to, after, began, new }).await;
            }
            request.continuation = next;
            if is_past || request.continuation.is_none() {
                break true;
            }
            // One page of history at a time, so that others get their turn; empty pages do not count.
            if let Some(last) = last.as_ref().filter(|_| is_history) {
                stream.plan.reached(last);
                break false;
            }
            position = last.or(position);
        };
        if is_over {
            let now = self.now().max(began);
            stream.plan.done(&self.config.rules, listing, began, now, new);
            if let Some(listed) = &self.config.listed {
                listed.listed(&stream.key, &stream.plan);
            }
        }
        self.save(stream, listing, began).await?;
        Ok(Ended::Done)
    }

    /// Remembers where a listing ends for want of room. A listing that continues by token goes on by key.
    async fn pause(&self, stream: &mut Stream, listing: &Listing, rest: Rest) -> Result<Ended, TurnError> {
        match (listing, &rest.after) {
            (Listing::Day(_), _) => stream.rest = Some(rest),
            (Listing::History { after: before, .. }, Some(after)) if before.as_ref() != Some(after) => {
                stream.plan.reached(after);
                self.save(stream, listing, rest.began).await?;
            }
            (Listing::History { .. }, _) => {}
        }
        Ok(Ended::NoRoom)
    }

    /// Reads one page and records what is new on it, as far as there is room. The page's place is to be kept until
    /// what was found is handed over.
    async fn page(
        &self,
        key: &StreamKey,
        request: &ListRequest,
        to: Day,
        pass: &mut Pass,
    ) -> Result<(Sifted, Option<String>, Place), TurnError> {
        let listed = self.lister().page(request).await;
        let (page, place) = listed.map_err(|error| TurnError::Own(Some(error.kind()), error.to_string()))?;
        let (key, inventory, next) = (key.clone(), Arc::clone(&self.seams.inventory), page.next);
        let room = self.seams.intake.room(key.account);
        let sifted = blocking(move || sift(&key, page.objects, to, room, &inventory)).await?;
        let sifted = sifted.map_err(|error| match error {
            SiftError::Order(error) => TurnError::Own(None, error.to_string()),
            SiftError::Inventory(error) => TurnError::Fatal(error.into()),
        })?;
        pass.pages += 1;
        pass.logs += sifted.logs;
        pass.foreign += sifted.foreign;
        Ok((sifted, next, place))
    }

    fn offer(&self, sifted: Sifted, pass: &mut Pass) -> Result<(), TurnError> {
        for found in sifted.found {
            match found.standing {
                Standing::Changed => pass.changed += 1,
                Standing::New | Standing::Known => pass.new += 1,
            }
            // Where another trail was quicker: it is recorded, and offered again from there.
            self.seams.intake.offer(found).map_err(|_| TurnError::Closed)?;
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
