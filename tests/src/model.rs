//! What a correct haul delivers, said as simply as possible.
//!
//! In: the truth, when each object was committed, and the window within which copies count as copies. Out:
//! how often each content must lie in the archive. The rule, for each account alone and in order of commit:
//! a record whose account, id and content were delivered at most `window` seconds ago is a duplicate, and a
//! dropped copy does not prolong that; anything else is delivered. The same id with other content is a
//! conflict, and delivered. A record without an id is told by its content and by its occurrence number
//! among equal ones in its object. Nothing here fails.

use std::collections::{BTreeMap, HashMap};

use crate::org::Account;
use crate::truth::{Object, Run, Sha, Truth};

/// What must lie in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// How often each content is delivered, by account, id and SHA-256.
    pub delivered: BTreeMap<(Account, Option<String>, Sha), u64>,
    /// How many records are dropped as duplicates.
    pub duplicates: u64,
    /// How many delivered records have the account and id of an earlier delivery with other content.
    pub conflicts: u64,
    /// Contents that may or may not be delivered, by SHA-256, with the most times that they may.
    pub doubtful: BTreeMap<Sha, u64>,
}

impl Expected {
    /// How many records are delivered.
    pub fn count(&self) -> u64 {
        self.delivered.values().sum()
    }
}

/// One day in seconds; [`WINDOW`] is the program's default of seven.
const DAY: i64 = 86_400;
/// The default window: seven days.
pub const WINDOW: i64 = 7 * DAY;

/// The outcome when every object is committed at one and the same time.
pub fn expected_at_once(truth: &Truth, window: i64) -> Expected {
    expected(truth, |_| Some(0), window)
}

/// The outcome when each object is committed at the given time (seconds; `None`: never), equal times in the
/// order of the truth. `window` is in seconds, its end included.
pub fn expected(truth: &Truth, committed: impl Fn(&Object) -> Option<i64>, window: i64) -> Expected {
    let mut objects: Vec<(i64, &Object)> =
        truth.objects.iter().filter_map(|object| Some((committed(object)?, object))).collect();
    objects.sort_by_key(|(time, object)| (*time, object.number));

    let mut delivered_at: HashMap<(Account, Identity), i64> = HashMap::new();
    let mut first_content: HashMap<(Account, &str), Sha> = HashMap::new();
    let mut outcome = Expected::default();
    for (now, object) in objects {
        let mut occurrences: HashMap<Sha, u64> = HashMap::new();
        for number in expand(&object.records) {
            let Some(content) = truth.contents.get(number as usize) else { continue };
            let (account, sha) = (object.account, content.sha256);
            let identity = match &content.id {
                Some(id) => Identity::Id(id, sha),
                None => {
                    let seen = occurrences.entry(sha).or_default();
                    *seen += 1;
                    Identity::Occurrence(sha, *seen)
                }
            };
            let key = (account, identity);
            if delivered_at.get(&key).is_some_and(|then| now - then <= window) {
                outcome.duplicates += 1;
                continue;
            }
            delivered_at.insert(key, now);
            if let Some(id) = &content.id
                && *first_content.entry((account, id)).or_insert(sha) != sha
            {
                outcome.conflicts += 1;
            }
            *outcome.delivered.entry((account, content.id.clone(), sha)).or_default() += 1;
        }
        for number in expand(&object.doubtful) {
            let Some(content) = truth.contents.get(number as usize) else { continue };
            *outcome.doubtful.entry(content.sha256).or_default() += 1;
        }
    }
    outcome
}

#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Id(&'a str, Sha),
    Occurrence(Sha, u64),
}

fn expand(runs: &[Run]) -> impl Iterator<Item = u64> {
    runs.iter().flat_map(|run| (0..run.count()).map(|_| run.content()))
}

#[cfg(test)]
mod tests;
