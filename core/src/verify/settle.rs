//! Forgetting what cannot change any more, so that a chain that is followed for years stays small.
//!
//! Two neighbours that are signed, meet in time and are linked become one *run*: it begins where the older one
//! began, says of its predecessor what the older one said, and is in everything else the newer one, to which the
//! next digest links. A survey of runs says what a survey of their digests would. Only digests that a trusted
//! successor has confirmed are joined, so that nothing that is still judged disappears into a run; and the first
//! digest after a hole, a restart or a missing link stays by itself.

use super::chain::{Chain, Link, Node};
use super::name::DigestKey;

impl Chain {
    /// Joins digests whose hour ended before `end` into runs. How many digests were joined to another.
    pub fn settle_before(&mut self, end: i64) -> usize {
        let trusted = self.nodes.iter().filter(|(_, node)| node.is_trusted());
        let ids: Vec<_> = trusted.map(|(id, _)| id.clone()).collect();
        let mut joined = 0;
        for pair in ids.windows(2) {
            let [older, newer] = pair else { continue };
            if newer.0 >= end || !self.is_confirmed(newer) {
                continue;
            }
            let Some(link) = self.run_of(older, newer) else { continue };
            self.nodes.remove(older);
            if let Some(node) = self.nodes.get_mut(newer) {
                node.link = link;
            }
            joined += 1;
        }
        if joined > 0 {
            self.rebuild();
        }
        joined
    }

    /// Whether a signed, trusted digest names this one as its predecessor.
    fn is_confirmed(&self, id: &(i64, String)) -> bool {
        let by = self.wanted.get(id).and_then(|by| self.nodes.get(by));
        by.is_some_and(|by| by.is_signed() && by.is_trusted())
    }

    /// The run that two digests make, if they make one.
    fn run_of(&self, older: &(i64, String), newer: &(i64, String)) -> Option<Link> {
        let (before, after) = (self.nodes.get(older)?, self.nodes.get(newer)?);
        let sound = |node: &Node| node.is_signed() && node.is_trusted();
        let links = |after: &Link, before: &Link| {
            let previous = after.previous.as_ref();
            let linked = previous.is_some_and(|p| p.place == before.place && p.sha256 == Some(before.sha256));
            linked && before.end == after.start
        };
        // What begins a run may be worth a word of its own: a restart, a missing link.
        let first = before.link.previous.as_ref().and_then(|previous| {
            let end = DigestKey::parse(&previous.place.key).ok()?.end;
            self.nodes.get(&(end, previous.place.key.clone()))
        });
        let inner = first.is_some_and(|first| sound(first) && links(&before.link, &first.link));
        if !inner || !sound(before) || !sound(after) || !links(&after.link, &before.link) {
            return None;
        }
        let (start, previous) = (before.link.start, before.link.previous.clone());
        Some(Link { start, previous, ..after.link.clone() })
    }

    /// Works out anew who names whom, after digests were joined.
    fn rebuild(&mut self) {
        let seen: Vec<_> = self.export().collect();
        let mut chain = Self::new();
        for seen in seen {
            chain.accept(seen);
        }
        *self = chain;
    }
}
