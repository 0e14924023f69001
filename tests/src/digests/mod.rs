//! Hourly signed digests for a tree, as CloudTrail writes them.
//!
//! In: a finished tree and its truth. Out: digest objects with their metadata, saved answers of
//! `ListPublicKeys` below `public-keys/`, and [`Integrity`]: which digest covers what. There is one chain per
//! validating trail, account and region; empty hours have digests too. Some objects are left out of their
//! hour and come with a backfill digest forty hours later. Facts: CloudTrail User Guide, "digest file
//! structure" and "custom validation".
//!
//! Invariant: a log object is named by at most one digest of its chain, and every digest verifies. Keys are
//! random and kept in a folder, so that the same folder gives the same bytes again. Failure: an error of the
//! file system or of a key file.

mod chain;
mod document;
mod files;
mod keys;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::org::Account;
use crate::truth::{Sha, Truth};
pub(crate) use document::key as digest_key;
pub use document::{Document, LogFile, string_to_sign};
pub(crate) use files::{metadata_path, object_path, put_metadata, store};
pub use keys::{Keys, SigningKey};

/// What the digests of a tree say, and what was done to the tree afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// The chains, standard and backfill.
    pub chains: Vec<Chain>,
    /// What was tampered with, in order.
    #[serde(default)]
    pub tampered: Vec<crate::tamper::Tampering>,
}

/// One chain of digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The trail, by its position in the organization.
    pub trail: usize,
    /// The account that it speaks of.
    pub account: Account,
    /// The region whose deliveries it lists.
    pub region: String,
    /// Whether these are the backfill digests.
    pub backfill: bool,
    /// Oldest first.
    pub digests: Vec<Digest>,
}

/// One digest file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// The hour that it speaks of: deliveries after `start` and up to `end`, in seconds since the epoch.
    pub start: i64,
    /// The end of that hour.
    pub end: i64,
    /// When it appeared.
    pub delivered: i64,
    /// SHA-256 of its inflated bytes.
    pub sha256: Sha,
    /// The objects that it names, by their numbers in the truth.
    pub logs: Vec<u64>,
}

/// Where signing keys are kept below a tree unless another folder is named.
pub const KEYS: &str = "signing-keys";

/// Adds digests to the tree below `root`: files, metadata, public keys, `truth.ndjson` with the digest objects
/// in it, and `integrity.json`. `keys` is the folder of signing keys, made where it lacks any.
pub fn add(root: &Path, truth: &mut Truth, keys: &Path) -> Result<Integrity> {
    let keys = Keys::load_or_make(keys, &truth.head.organization.regions, truth.head.options.start)?;
    keys.save_public(&root.join("public-keys"))?;
    let chains = chain::write(root, truth, &keys)?;
    truth.recount();
    let integrity = Integrity { chains, tampered: Vec::new() };
    crate::truth::write_all(&root.join("truth.ndjson"), truth)?;
    integrity.save(root)?;
    Ok(integrity)
}

/// The saved answers of `ListPublicKeys` of a tree with digests, by region.
pub fn public_key_files(root: &Path, regions: &[String]) -> Vec<PathBuf> {
    regions.iter().map(|region| root.join("public-keys").join(format!("{region}.json"))).collect()
}

impl Integrity {
    /// Reads `integrity.json` of a tree.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join("integrity.json");
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The chains of accounts and regions to which nothing was done, in any bucket.
    pub fn untouched(&self) -> Vec<&Chain> {
        let touched: Vec<&str> = self
            .tampered
            .iter()
            .flat_map(|tampering| tampering.effects.iter().map(|effect| effect.key.as_str()))
            .collect();
        let is_of = |chain: &Chain, key: &str| {
            key.contains(&format!("{}/CloudTrail", chain.account))
                && key.contains(&format!("/{}/", chain.region))
        };
        self.chains.iter().filter(|chain| !touched.iter().any(|key| is_of(chain, key))).collect()
    }

    /// Writes `integrity.json` of a tree.
    pub fn save(&self, root: &Path) -> Result<()> {
        Ok(fs::write(root.join("integrity.json"), serde_json::to_vec_pretty(self)?)?)
    }
}

#[cfg(test)]
mod tests;
