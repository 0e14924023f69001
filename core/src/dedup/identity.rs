//! What makes two records the same: keyed 128-bit hashes of id and content.
//!
//! In: account, id and raw bytes of a record. Out: an [`Identity`]. Equal inputs give equal hashes under one
//! secret; without the secret nobody can craft a collision, nor learn where an id falls in a table.
//! HighwayHash is a pseudo-random function under its key (Alakuijala, Cox, Wassenberg 2016, arXiv:1612.06257).
//! Nothing here fails.

use std::fmt;

use highway::{HighwayHash, HighwayHasher, Key};

use crate::model::AccountId;

use super::occurrence::Occurrence;

/// The two hashes by which a record is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Hash of account and id; of account, content and occurrence for a record that has no id.
    pub id: u128,
    /// Hash of the record's raw bytes.
    pub content: u128,
}

/// Hashes records under an archive's secret. Cheap to clone; one serves any number of threads.
#[derive(Clone)]
pub struct IdentityHasher {
    content: Key,
    id: Key,
    nameless: Key,
}

impl IdentityHasher {
    /// A hasher for the archive whose genesis holds this secret. Each domain gets a key of its own, so that
    /// no id can be made to look like a content.
    pub fn new(secret: &[u8; 32]) -> Self {
        let secret = key_of(secret);
        let derive = |domain: &[u8]| {
            let mut hasher = HighwayHasher::new(secret);
            hasher.append(domain);
            Key(hasher.finalize256())
        };
        Self {
            content: derive(b"trailhaul dedup v1 content"),
            id: derive(b"trailhaul dedup v1 id"),
            nameless: derive(b"trailhaul dedup v1 record without an id"),
        }
    }

    /// The hash of a record's raw bytes.
    pub fn content(&self, raw: &[u8]) -> u128 {
        finish(HighwayHasher::new(self.content), &[raw])
    }

    /// The identity of a record whose content hash is known. `occurrence` is looked at only where there is no
    /// id; an empty id is none.
    pub fn with_content(
        &self,
        account: AccountId,
        id: Option<&[u8]>,
        content: u128,
        occurrence: impl FnOnce() -> Occurrence,
    ) -> Identity {
        let account = account.as_u64().to_be_bytes();
        let id = match id.filter(|id| !id.is_empty()) {
            Some(id) => finish(HighwayHasher::new(self.id), &[&account, id]),
            None => finish(
                HighwayHasher::new(self.nameless),
                &[&account, &content.to_be_bytes(), &occurrence().to_bytes()],
            ),
        };
        Identity { id, content }
    }

    /// The identity of a record: `id` is the text of `eventID` (or `eventId`) where it has one, `raw` its
    /// bytes, and `occurrence` which of the equal records without an id in its object it is.
    pub fn identity(
        &self,
        account: AccountId,
        id: Option<&[u8]>,
        raw: &[u8],
        occurrence: Occurrence,
    ) -> Identity {
        self.with_content(account, id, self.content(raw), || occurrence)
    }
}

impl fmt::Debug for IdentityHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityHasher(secret)")
    }
}

fn key_of(secret: &[u8; 32]) -> Key {
    let mut words = [0_u64; 4];
    for (word, bytes) in words.iter_mut().zip(secret.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Key(words)
}

fn finish(mut hasher: HighwayHasher, parts: &[&[u8]]) -> u128 {
    for part in parts {
        hasher.append(part);
    }
    let [low, high] = hasher.finalize128();
    (u128::from(high) << 64) | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    #[test]
    fn every_input_counts_and_domains_are_apart() {
        let hasher = IdentityHasher::new(&[7; 32]);
        let (a, b) = (account("111122223333"), account("111122223334"));
        let first = Occurrence::Nth(0);
        let one = hasher.identity(a, Some(b"id"), b"{}", first);
        assert_eq!(one, hasher.identity(a, Some(b"id"), b"{}", Occurrence::Nth(9)));
        assert_eq!(one.content, hasher.identity(b, Some(b"id"), b"{}", first).content);
        let ids = [
            one.id,
            one.content,
            hasher.identity(b, Some(b"id"), b"{}", first).id,
            hasher.identity(a, Some(b"ie"), b"{}", first).id,
            hasher.identity(a, Some(b"{}"), b"{}", first).id,
            hasher.identity(a, None, b"{}", first).id,
            hasher.identity(a, None, b"{}", Occurrence::Nth(1)).id,
            hasher.identity(a, None, b"{}", Occurrence::AtRecord(1)).id,
            hasher.identity(a, None, b"{ }", first).id,
            IdentityHasher::new(&[8; 32]).identity(a, Some(b"id"), b"{}", first).id,
        ];
        let distinct: std::collections::HashSet<u128> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn an_empty_id_is_none() {
        let hasher = IdentityHasher::new(&[7; 32]);
        let a = account("111122223333");
        let nth = Occurrence::Nth(3);
        assert_eq!(hasher.identity(a, Some(b""), b"{}", nth), hasher.identity(a, None, b"{}", nth));
    }

    /// Archives outlive programs: these values must never change.
    #[test]
    fn hashes_are_stable() {
        let mut secret = [0_u8; 32];
        secret.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
        let hasher = IdentityHasher::new(&secret);
        let a = account("111122223333");
        let id = hasher.identity(
            a,
            Some(b"3038ebd2-c98a-4c65-9b6e-e22506292313"),
            b"{\"a\":1}",
            Occurrence::Nth(0),
        );
        let none = hasher.identity(a, None, b"{\"a\":1}", Occurrence::Nth(2));
        assert_eq!(id.id, 0x7303_8593_a389_708e_7a94_3206_e07e_0430);
        assert_eq!(id.content, 0x966f_a32c_2df8_9563_fa52_ff87_59c1_0fb2);
        assert_eq!(none.id, 0xf4f4_934e_635b_6cd1_35c8_6bde_aec9_4b3b);
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", IdentityHasher::new(&[0x41; 32])), "IdentityHasher(secret)");
    }
}
