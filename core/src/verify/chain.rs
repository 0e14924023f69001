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
    /// The same place held other content when it was seen before.
    Changed {
        /// The digest.
        digest: Place,
    },
}

/// Whether what a digest states counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Trust {
    Signed,
    Vouched,
    Unproven,
    Replaced,
    Unusable,
}

impl Trust {
    pub(super) fn is_trusted(self) -> bool {
        matches!(self, Self::Signed | Self::Vouched)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) trust: Trust,
    pub(super) link: Link,
}

/// Digests are ordered by the end of their hour, then by key.
type NodeId = (i64, String);

/// The digests of one chain and what they state of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    /// For a digest that trusted ones name as their predecessor: who names it.
    wanted: BTreeMap<NodeId, NodeId>,
}

impl Chain {
    /// A chain of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a digest that was found, in whatever order, and says what it proves about itself and others.
    pub fn accept(&mut self, seen: Seen) -> Vec<ChainEvent> {
        let (trust, link) = match seen {
            Seen::Signed(link) => (Trust::Signed, link),
            Seen::Unproven(link) => (Trust::Unproven, link),
            Seen::Unusable { place, end } => (Trust::Unusable, blank(place, end)),
        };
        let mut events = Vec::new();
        let id = (link.end, link.place.key.clone());
        if let Some(before) = self.nodes.get(&id) {
            if before.link == link && (before.trust == trust || before.trust == Trust::Vouched) {
                return events;
            }
            if before.link.sha256 != link.sha256 {
                events.push(ChainEvent::Changed { digest: link.place.clone() });
            }
        }
        self.nodes.insert(id.clone(), Node { trust, link });
        self.settle(id, &mut events);
        while self.nodes.len() > MAX_NODES {
            self.nodes.pop_first();
        }
        events
    }

    /// Forgets digests whose hour ended before `end`, but for the last trusted one, to which the next will
    /// link.
    pub fn forget_before(&mut self, end: i64) {
        let trusted = self.nodes.iter().rev().find(|(_, node)| node.trust.is_trusted());
        let keep = trusted.map(|(id, _)| id.clone());
        self.nodes.retain(|id, _| id.0 >= end || Some(id) == keep.as_ref());
        self.wanted.retain(|id, by| id.0 >= end && self.nodes.contains_key(by));
    }

    /// The end of the newest hour that a trusted digest covers.
    pub fn newest(&self) -> Option<i64> {
        self.nodes.iter().rev().find(|(_, node)| node.trust.is_trusted()).map(|(id, _)| id.0)
    }

    /// Judges a digest by its successor, then its predecessor by it, and on down while that proves digests.
    fn settle(&mut self, id: NodeId, events: &mut Vec<ChainEvent>) {
        self.judge(&id, events);
        let mut next = self.claim_previous(&id);
        while let Some(previous) = next {
            let proven = self.judge(&previous, events);
            next = if proven { self.claim_previous(&previous) } else { None };
        }
    }

    /// Compares a digest with what its trusted successor states of it. Whether that proved it just now.
    fn judge(&mut self, id: &NodeId, events: &mut Vec<ChainEvent>) -> bool {
        let Some(by) = self.wanted.get(id).and_then(|by| self.nodes.get(by)) else { return false };
        let Some(previous) = by.link.previous.clone().filter(|_| by.trust.is_trusted()) else { return false };
        let by = by.link.place.clone();
        let Some(node) =
            self.nodes.get_mut(id).filter(|node| node.link.place.bucket == previous.place.bucket)
        else {
            return false;
        };
        let same_content = previous.sha256.map(|sha256| sha256 == node.link.sha256);
        let same_signature = previous.signature == node.link.signature;
        let digest = node.link.place.clone();
        match (node.trust, same_content) {
            (Trust::Unproven, Some(true)) => {
                node.trust = Trust::Vouched;
                events.push(ChainEvent::Vouched { digest, by });
                return true;
            }
            (Trust::Signed, Some(true) | None) if same_signature => {}
            (Trust::Signed, _) | (Trust::Unproven, Some(false)) => {
                node.trust = Trust::Replaced;
                events.push(ChainEvent::Replaced { digest, by });
            }
            (Trust::Unproven, None) | (Trust::Vouched | Trust::Replaced | Trust::Unusable, _) => {}
        }
        false
    }

    /// Notes what a trusted digest states of its predecessor, and names that one.
    fn claim_previous(&mut self, id: &NodeId) -> Option<NodeId> {
        let node = self.nodes.get(id).filter(|node| node.trust.is_trusted())?;
        let previous = node.link.previous.as_ref()?;
        let end = DigestKey::parse(&previous.place.key).ok()?.end;
        let previous = (end, previous.place.key.clone());
        self.wanted.insert(previous.clone(), id.clone());
        Some(previous)
    }
}

/// A place holder for an object of which nothing can be used.
fn blank(place: Place, end: i64) -> Link {
    Link { place, start: end, end, sha256: Sha256([0; 32]), signature: None, previous: None }
}
