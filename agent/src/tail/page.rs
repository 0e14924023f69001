//! One page of a listing, beside what the inventory knows.
//!
//! In: the listed objects of a stream, in order. Out: those that are new or changed, recorded as found.
//! A key counts only where it lies exactly in a day folder of the stream; others are counted and left.
//! On failure nothing of the page is offered; the page is listed again.

use std::sync::Arc;

use trailhaul_core::model::{LogKey, ObjectRef, StreamKey};
use trailhaul_core::plan::{Day, FoundObject, OutOfOrder, Standing, compare};

use super::inventory::{Found, Inventory, InventoryError};
use crate::store::ListedObject;

/// What a page came to.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// New and changed objects, in key order.
    pub(super) found: Vec<Found>,
    /// Keys that are not where a log of this stream would be.
    pub(super) foreign: u64,
    /// Logs on the page, known ones included.
    pub(super) logs: u64,
    /// The last key of the page, if it had any.
    pub(super) last: Option<String>,
    /// A day after the last one asked for has begun.
    pub(super) is_past: bool,
    /// There is room for no more of the page than what is here: the last key that was dealt with, if any.
    pub(super) cut: Option<Option<String>>,
}

/// Why a page could not be sifted.
#[derive(Debug, thiserror::Error)]
pub(super) enum SiftError {
    #[error(transparent)]
    Order(#[from] OutOfOrder),
    #[error(transparent)]
    Inventory(#[from] InventoryError),
}

/// Goes through a page, up to the day `to`, and records what was found: at most `room` objects, because what is
/// recorded is not listed again. May block on the inventory.
pub(super) fn sift(
    stream: &StreamKey,
    objects: Vec<ListedObject>,
    to: Day,
    room: usize,
    inventory: &Arc<dyn Inventory>,
) -> Result<Sifted, SiftError> {
    let mut sifted = Sifted { last: objects.last().map(|object| object.key.clone()), ..Sifted::default() };
    let mut logs = Vec::new();
    for object in objects {
        match place_of(stream, &object.key) {
            Some((day, _)) if day > to => {
                sifted.is_past = true;
                break;
            }
            Some((day, name)) => logs.push((day, name, object)),
            None => sifted.foreign += 1,
        }
    }
    sifted.logs = logs.len() as u64;
    let mut logs = logs.into_iter().peekable();
    while let Some((day, name, object)) = logs.next() {
        let mut group = vec![(name, object)];
        while let Some((_, name, object)) = logs.next_if(|(next, _, _)| *next == day) {
            group.push((name, object));
        }
        sift_day(stream, day, group, inventory, &mut sifted.found)?;
    }
    if sifted.found.len() > room {
        sifted.found.truncate(room);
        sifted.cut = Some(sifted.found.last().map(|found| found.object.object.key.clone()));
        sifted.is_past = false;
    }
    if !sifted.found.is_empty() {
        inventory.record(stream, &sifted.found)?;
    }
    Ok(sifted)
}

fn sift_day(
    stream: &StreamKey,
    day: Day,
    group: Vec<(String, ListedObject)>,
    inventory: &Arc<dyn Inventory>,
    found: &mut Vec<Found>,
) -> Result<(), SiftError> {
    let (Some((first, _)), Some((last, _))) = (group.first(), group.last()) else { return Ok(()) };
    let known = inventory.known(stream, day, first, Some(last))?;
    let standings = compare(group, |(name, object)| (name, &object.etag), known)?;
    for ((_, object), standing) in standings {
        if standing == Standing::Known {
            continue;
        }
        let ListedObject { key, etag, size, .. } = object;
        let object = ObjectRef { bucket: Arc::clone(&stream.bucket), key, etag, version: None, size };
        if let Ok(object) = FoundObject::new(object) {
            found.push(Found { object, standing });
        }
    }
    Ok(())
}

/// Day and file name of a key, if it lies where the stream's logs lie.
fn place_of(stream: &StreamKey, key: &str) -> Option<(Day, String)> {
    let parsed = LogKey::parse(key).ok()?;
    let tail = key.strip_prefix(stream.prefix.as_str())?;
    let day = Day::from(parsed.day);
    // The grammar starts from the last AWSLogs in a key: a second one below the stream's prefix would make
    // it somebody else's.
    let is_here = tail.strip_prefix(day.folder().as_str()) == Some(parsed.file_name)
        && parsed.account == stream.account
        && parsed.family == stream.family
        && parsed.region == stream.region;
    is_here.then(|| (day, parsed.file_name.to_owned()))
}
