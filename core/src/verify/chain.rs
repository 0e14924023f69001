//! The links between the digests of one chain.
//!
//! Every digest states where its predecessor lies, that one's SHA-256 and its signature. A chain takes
//! digests in any order (they may be delivered late and out of order) and compares each statement of a
//! *trusted* digest with what is really there:
//!
//! ```text
//!  signed ──────────────────────────────► trusted ◄── its content is named by a trusted successor (vouched)
//!                                            │
//!                 a trusted successor names other content
//!                                            ▼
//!  unproven, unusable                     replaced: not the digest that stood there when its successor
//!                                         was signed
//! ```
//!
//! In: [`Seen`] digests. Out: [`ChainEvent`]s at once, and coverage of time on request (`survey`).
//! Invariant: what an untrusted digest states is never compared with anything. At most [`MAX_NODES`] digests
//! are remembered; [`Chain::forget_before`] drops those that are settled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hash::Sha256;
use super::name::DigestKey;

/// The most digests that a chain remembers: fifteen years of hours. Beyond it the oldest are forgotten.
pub const MAX_NODES: usize = 131_072;

/// Where an object lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// What a digest states of its predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Where it lies.
    pub place: Place,
    /// The SHA-256 of its inflated bytes.
    pub sha256: Option<Sha256>,
    /// A hash of its signature's lower-case hexadecimal text.
    pub signature: Option<Sha256>,
}

impl Previous {
    /// Whether the predecessor belongs to another folder or bucket than `link` itself: the trail was moved.
    pub fn lies_elsewhere(&self, link: &Link) -> bool {
        let chain = |place: &Place| DigestKey::parse(&place.key).ok().map(|key| key.chain(&place.bucket));
        chain(&self.place) != chain(&link.place)
    }
}

/// A digest, as far as a chain needs it. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it says that it lies (checked before).
    pub place: Place,
    /// Start of the hour that it covers.
    pub start: i64,
    /// End of the hour that it covers.
    pub end: i64,
    /// SHA-256 of its inflated bytes.
    pub sha256: Sha256,
    /// A hash of its signature's lower-case hexadecimal text; `None` where the metadata is lost.
    pub signature: Option<Sha256>,
    /// What it states of its predecessor; `None` in the first digest of a chain.
    pub previous: Option<Previous>,
}

/// A digest that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// Its own signature proves it.
    Signed(Link),
    /// It can be read, but its signature does not prove it.
    Unproven(Link),
    /// Its signature does not prove it, but an earlier chain of the same digests found a successor that does.
    Vouched(Link),
    /// There is an object, and nothing in it can be used.
    Unusable {
        /// Where it lies.
        place: Place,
        /// The end of the hour in its name.
        end: i64,
    },
}

/// What a new digest brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainEvent {
    /// A trusted successor names the content of a digest whose own signature does not prove it.
    Vouched {
        /// The digest that is proven now.
        digest: Place,
        /// Its successor.
        by: Place,
    },
    /// The object is not the one that stood there when its successor was signed.
    Replaced {
        /// The digest that is not trusted any more.
        digest: Place,
        /// Its successor.
        by: Place,
    },
    /// What its successor stated of it does not count any more, since that one was replaced itself.
    Reinstated {
        /// The digest that stands by itself again.
        digest: Place,
    },
    /// The same place held other content when it was seen before.
    Changed {
        /// The digest.
        digest: Place,
    },
}

/// What a digest proves by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Signed,
    Unproven,
    Unusable,
}

/// What a trusted successor says of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Nothing beyond what it proves by itself.
    Nothing,
    Vouched,
    Replaced,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    own: Own,
    judged: Judged,
    pub(super) link: Link,
}

impl Node {
    fn new(seen: Seen) -> Self {
        let (own, judged, link) = match seen {
            Seen::Signed(link) => (Own::Signed, Judged::Nothing, link),
            Seen::Unproven(link) => (Own::Unproven, Judged::Nothing, link),
            Seen::Vouched(link) => (Own::Unproven, Judged::Vouched, link),
            Seen::Unusable { place, end } => (Own::Unusable, Judged::Nothing, blank(place, end)),
        };
        Self { own, judged, link }
    }

    /// Whether its own signature proves it.
    pub(super) fn is_signed(&self) -> bool {
        self.own == Own::Signed
    }

    /// Whether what it states counts.
    pub(super) fn is_trusted(&self) -> bool {
        match self.judged {
            Judged::Nothing => self.own == Own::Signed,
            Judged::Vouched => true,
            Judged::Replaced => false,
        }
    }

    /// What a successor's statement makes of it.
    fn compare(&self, stated: &Previous) -> Judged {
        let same_content = stated.sha256.map(|sha256| sha256 == self.link.sha256);
        let same_signature = stated.signature == self.link.signature;
        match (self.own, same_content) {
            (Own::Unusable, _) | (Own::Unproven, None) => Judged::Nothing,
            (Own::Unproven, Some(true)) => Judged::Vouched,
            (Own::Signed, Some(true) | None) if same_signature => Judged::Nothing,
            (Own::Unproven | Own::Signed, _) => Judged::Replaced,
        }
    }
}

/// Digests are ordered by the end of their hour, then by key.
type NodeId = (i64, String);

/// The digests of one chain and what they state of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// For a digest that trusted ones name as their predecessor: who names it.
    pub(super) wanted: BTreeMap<NodeId, NodeId>,
}

impl Chain {
    /// A chain of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a digest that was found, in whatever order, and says what it proves about itself and others.
    pub fn accept(&mut self, seen: Seen) -> Vec<ChainEvent> {
        let node = Node::new(seen);
        let mut events = Vec::new();
        let id = (node.link.end, node.link.place.key.clone());
        if let Some(before) = self.nodes.get(&id) {
            if before.link == node.link && before.own == node.own {
                return events;
            }
            if before.link.sha256 != node.link.sha256 {
                events.push(ChainEvent::Changed { digest: node.link.place.clone() });
            }
        }
        self.nodes.insert(id.clone(), node);
        self.settle(id, &mut events);
        while self.nodes.len() > MAX_NODES {
            self.nodes.pop_first();
        }
        events
    }

    /// What is remembered, oldest first: accepting it again in any order makes an equal chain.
    pub fn export(&self) -> impl Iterator<Item = Seen> {
        self.nodes.values().map(|node| match (node.own, node.judged) {
            (Own::Unusable, _) => Seen::Unusable { place: node.link.place.clone(), end: node.link.end },
            (Own::Unproven, Judged::Vouched) => Seen::Vouched(node.link.clone()),
            (Own::Unproven, _) => Seen::Unproven(node.link.clone()),
            (Own::Signed, _) => Seen::Signed(node.link.clone()),
        })
    }

    /// The digests whose content is proven by their successor only.
    pub fn vouched(&self) -> impl Iterator<Item = &Place> {
        self.judged(Judged::Vouched)
    }

    /// The digests that are not those that stood there when their successor was signed.
    pub fn replaced(&self) -> impl Iterator<Item = &Place> {
        self.judged(Judged::Replaced)
    }

    fn judged(&self, as_: Judged) -> impl Iterator<Item = &Place> {
        self.nodes.values().filter(move |node| node.judged == as_).map(|node| &node.link.place)
    }

    /// Forgets digests whose hour ended before `end`, but for the last trusted one, to which the next will
    /// link.
    pub fn forget_before(&mut self, end: i64) {
        let trusted = self.nodes.iter().rev().find(|(_, node)| node.is_trusted());
        let keep = trusted.map(|(id, _)| id.clone());
        self.nodes.retain(|id, _| id.0 >= end || Some(id) == keep.as_ref());
        self.wanted.retain(|id, by| id.0 >= end && self.nodes.contains_key(by));
    }

    /// Forgets the oldest digests that prove nothing while there are more than `most` in all, then the oldest of
    /// all; the end of the newest trusted one that was forgotten.
    pub fn shrink_to(&mut self, most: usize) -> Option<i64> {
        let excess = self.nodes.len().saturating_sub(most);
        let untrusted = self.nodes.iter().filter(|(_, node)| !node.is_trusted()).take(excess);
        let ids: Vec<NodeId> = untrusted.map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| drop(self.nodes.remove(id)));
        let mut forgotten = None;
        while self.nodes.len() > most {
            forgotten = self.nodes.pop_first().map(|(id, _)| id.0);
        }
        forgotten
    }

    /// The end of the newest hour that a trusted digest covers.
    pub fn newest(&self) -> Option<i64> {
        self.nodes.iter().rev().find(|(_, node)| node.is_trusted()).map(|(id, _)| id.0)
    }

    /// Trusted digests whose predecessor lies in another bucket or folder, with what they state of it.
    pub fn arrivals(&self) -> impl Iterator<Item = (&Link, &Previous)> {
        let trusted = self.nodes.values().filter(|node| node.is_trusted());
        let linked = trusted.filter_map(|node| Some((&node.link, node.link.previous.as_ref()?)));
        linked.filter(|(link, previous)| previous.lies_elsewhere(link))
    }

    /// Takes what a trusted digest of another folder or bucket states of one of this chain: whether there is
    /// such a digest here, trusted and the same. One that is not the same counts as replaced from now on.
    pub fn attest(&mut self, stated: &Previous) -> bool {
        let Ok(name) = DigestKey::parse(&stated.place.key) else { return false };
        let Some(node) = self.nodes.get_mut(&(name.end, stated.place.key.clone())) else { return false };
        if node.link.place.bucket != stated.place.bucket {
            return false;
        }
        if node.compare(stated) == Judged::Replaced {
            node.judged = Judged::Replaced;
        }
        node.is_trusted()
    }

    /// The oldest trusted digest.
    pub fn oldest(&self) -> Option<&Link> {
        self.nodes.values().find(|node| node.is_trusted()).map(|node| &node.link)
    }

    /// Judges a digest by its successor, then its predecessor by it, and on down the chain for as long as
    /// that changes whether a digest is trusted.
    fn settle(&mut self, id: NodeId, events: &mut Vec<ChainEvent>) {
        self.judge(&id, events);
        let mut next = self.claim_previous(&id);
        // Each step leads to another digest, so more steps than digests would be a ring.
        for _ in 0..self.nodes.len() {
            let Some(previous) = next else { return };
            let changed = self.judge(&previous, events);
            next = if changed { self.claim_previous(&previous) } else { None };
        }
    }

    /// Compares a digest with what its successor states of it, if that one is there and trusted. Whether
    /// this changed its standing.
    fn judge(&mut self, id: &NodeId, events: &mut Vec<ChainEvent>) -> bool {
        let by = self.wanted.get(id).and_then(|by| self.nodes.get(by)).filter(|by| by.is_trusted());
        let stated = by.and_then(|by| Some((by.link.previous.clone()?, by.link.place.clone())));
        let Some(node) = self.nodes.get_mut(id) else { return false };
        let stated = stated.filter(|(previous, _)| previous.place.bucket == node.link.place.bucket);
        let digest = node.link.place.clone();
        let (judged, event) = match stated {
            None if node.judged == Judged::Replaced => (Judged::Nothing, ChainEvent::Reinstated { digest }),
            None => return false,
            Some((previous, by)) => match node.compare(&previous) {
                Judged::Nothing => (Judged::Nothing, ChainEvent::Reinstated { digest }),
                Judged::Vouched => (Judged::Vouched, ChainEvent::Vouched { digest, by }),
                Judged::Replaced => (Judged::Replaced, ChainEvent::Replaced { digest, by }),
            },
        };
        if node.judged == judged {
            return false;
        }
        node.judged = judged;
        events.push(event);
        true
    }

    /// Notes what a trusted digest states of its predecessor, or takes back what one states that is not
    /// trusted any more; names the predecessor.
    fn claim_previous(&mut self, id: &NodeId) -> Option<NodeId> {
        let node = self.nodes.get(id)?;
        let previous = node.link.previous.as_ref()?;
        let end = DigestKey::parse(&previous.place.key).ok()?.end;
        let previous = (end, previous.place.key.clone());
        if node.is_trusted() {
            self.wanted.insert(previous.clone(), id.clone());
        } else if self.wanted.get(&previous) == Some(id) {
            self.wanted.remove(&previous);
        } else {
            return None;
        }
        Some(previous)
    }
}

/// A place holder for an object of which nothing can be used.
fn blank(place: Place, end: i64) -> Link {
    Link { place, start: end, end, sha256: Sha256([0; 32]), signature: None, previous: None }
}
