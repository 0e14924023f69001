//! What an attacker or an accident does to a tree with digests, and what verification must then say.
//!
//! In: a tree, its truth and its integrity. Out: changed files; the truth follows, so that it still says what
//! lies there and what a haul that ships at once delivers; and a [`Tampering`] with the verdicts to expect.
//! Each tampering takes a chain of its own, so that one does not hide another; when none is left that fits,
//! that is an error. Nothing is written to `truth.ndjson` and `integrity.json` before [`Tamperer::finish`].

mod digest;
mod log;
mod member;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::digests::{Digest, Integrity};
use crate::truth::{Object, Truth};
pub use member::Copied;

/// One act, and what must be noticed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tampering {
    /// What was done: the name of an [`Act`].
    pub act: String,
    /// What verification must say, place by place.
    pub effects: Vec<Effect>,
}

/// What verification must say of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The bucket's name.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The verdict.
    pub verdict: Verdict,
}

/// What verification says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A log whose bytes are not those that its digest names.
    Mismatch,
    /// A log or digest that must be there and is not.
    Missing,
    /// A log that no digest names and that no trail wrote.
    Extra,
    /// A log of an account that the bucket may not carry.
    Foreign,
    /// A digest whose signature does not hold, or is gone.
    BadSignature,
    /// A digest signed with a key that nobody published.
    UnknownKey,
    /// A digest that says that it lies elsewhere.
    Moved,
}

macro_rules! acts {
    ($($(#[doc = $doc:literal])+ $act:ident = $name:literal,)+) => {
        /// What is done to a tree.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Act { $($(#[doc = $doc])+ $act,)+ }

        impl Act {
            /// Every act.
            pub const ALL: &'static [Act] = &[$(Act::$act,)+];

            /// Its name on the command line and in `integrity.json`.
            pub fn name(self) -> &'static str {
                match self { $(Act::$act => $name,)+ }
            }
        }
    };
}

acts! {
    /// One letter of a record is another; the object is sound JSON and sound gzip.
    ChangeLog = "change-log",
    /// A log is gone.
    DeleteLog = "delete-log",
    /// A log ends early.
    TruncateLog = "truncate-log",
    /// Bytes follow a log's gzip member.
    AppendToLog = "append-to-log",
    /// Two logs have each other's bytes.
    SwapLogs = "swap-logs",
    /// A log lies under another key.
    MoveLog = "move-log",
    /// A log that CloudTrail never wrote.
    PlantLog = "plant-log",
    /// A folder of an account that the bucket may not carry.
    PlantAccount = "plant-account",
    /// One letter of a digest is another.
    ChangeDigest = "change-digest",
    /// A digest in the middle of its chain is gone.
    DeleteDigest = "delete-digest",
    /// The newest two digests of a chain are gone; nothing refers to them.
    DeleteNewestDigests = "delete-newest-digests",
    /// A digest's bytes and signature stand in a later one's place.
    ReplayDigest = "replay-digest",
    /// A digest is signed with another key than it says.
    WrongKey = "wrong-key",
    /// A digest is signed with a key of somebody else, and says so.
    UnknownKey = "unknown-key",
    /// A digest's metadata is gone, and the signature with it.
    StripMetadata = "strip-metadata",
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Act {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.iter().find(|act| act.name() == text) {
            Some(act) => Ok(*act),
            None => {
                let names: Vec<&str> = Self::ALL.iter().map(|act| act.name()).collect();
                bail!("{text:?} is no tampering: there are {}", names.join(", "))
            }
        }
    }
}

/// Changes a tree.
#[derive(Debug)]
pub struct Tamperer<'a> {
    root: &'a Path,
    /// The truth, as it is after every act so far.
    pub truth: Truth,
    /// The digests, and every act so far.
    pub integrity: Integrity,
    used: BTreeSet<usize>,
}

impl<'a> Tamperer<'a> {
    /// For the tree below `root`.
    pub fn open(root: &'a Path) -> Result<Self> {
        let truth = crate::truth::read(&root.join("truth.ndjson"))?;
        Ok(Self { root, truth, integrity: Integrity::read(root)?, used: BTreeSet::new() })
    }

    /// Does it, and notes it.
    pub fn act(&mut self, act: Act) -> Result<Tampering> {
        let effects = match act {
            Act::ChangeLog => self.change_log(),
            Act::DeleteLog => self.delete_log(),
            Act::TruncateLog => self.truncate_log(),
            Act::AppendToLog => self.append_to_log(),
            Act::SwapLogs => self.swap_logs(),
            Act::MoveLog => self.move_log(),
            Act::PlantLog => self.plant_log(),
            Act::PlantAccount => self.plant_account(),
            Act::ChangeDigest => self.change_digest(),
            Act::DeleteDigest => self.delete_digest(),
            Act::DeleteNewestDigests => self.delete_newest_digests(),
            Act::ReplayDigest => self.replay_digest(),
            Act::WrongKey => self.wrong_key(),
            Act::UnknownKey => self.unknown_key(),
            Act::StripMetadata => self.strip_metadata(),
        };
        let tampering =
            Tampering { act: act.name().to_owned(), effects: effects.with_context(|| act.name())? };
        self.integrity.tampered.push(tampering.clone());
        Ok(tampering)
    }

    /// Writes the truth and the integrity anew.
    pub fn finish(mut self) -> Result<(Truth, Integrity)> {
        self.truth.recount();
        crate::truth::write_all(&self.root.join("truth.ndjson"), &self.truth)?;
        self.integrity.save(self.root)?;
        Ok((self.truth, self.integrity))
    }

    /// A digest of an unused chain that names `logs` sound objects or more, neither the first nor the last two
    /// of its chain. The chain counts as used from now on.
    fn victim(&mut self, logs: usize) -> Result<(Vec<Digest>, usize)> {
        for (position, chain) in self.integrity.chains.iter().enumerate() {
            if chain.backfill || self.used.contains(&position) {
                continue;
            }
            let inner = 1..chain.digests.len().saturating_sub(2);
            let fits = |digest: &Digest| digest.logs.len() >= logs;
            let found = chain.digests.iter().enumerate().find(|(at, d)| inner.contains(at) && fits(d));
            if let Some((at, _)) = found {
                let digests = chain.digests.clone();
                self.used.insert(position);
                return Ok((digests, at));
            }
        }
        bail!("no untouched chain is left that fits: write a tree of more accounts, regions or hours")
    }

    /// The numbers of sound logs that one digest of an unused chain names, `count` of them.
    fn victims(&mut self, count: usize) -> Result<Vec<u64>> {
        let (digests, at) = self.victim(count)?;
        let logs = digests.get(at).map(|digest| digest.logs.as_slice()).unwrap_or_default();
        Ok(logs.iter().take(count).copied().collect())
    }

    fn object(&mut self, number: u64) -> Result<&mut Object> {
        let object = self.truth.objects.get_mut(usize::try_from(number)?);
        object.with_context(|| format!("there is no object {number}"))
    }

    fn digest_object(&mut self, digest: &Digest) -> Result<&mut Object> {
        let found = self.truth.objects.iter_mut().find(|o| o.bucket == digest.bucket && o.key == digest.key);
        found.with_context(|| format!("{} is not in the truth", digest.key))
    }
}

fn effect(bucket: &str, key: &str, verdict: Verdict) -> Effect {
    Effect { bucket: bucket.to_owned(), key: key.to_owned(), verdict }
}

#[cfg(test)]
mod tests;
