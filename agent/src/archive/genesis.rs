//! The genesis: what an archive is, decided once and for ever.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trailhaul_core::model::sha256_hex;

use super::Layout;
use crate::store::{ErrorKind, ObjectStore, PutOptions, StoreError};

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// How accounts are spread over lanes: the first eight bytes of SHA-256 of the twelve digits, big-endian,
/// modulo the number of lanes.
const LANE_HASH: &str = "sha256-64-mod";

/// A genesis is a few hundred bytes; anything larger is not one.
const MAX_BYTES: usize = 64 * 1024;

/// Why an archive's genesis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a genesis.
    #[error(
        "{place} is not a genesis: {reason}; if this is not an archive of trailhaul, choose another bucket or prefix"
    )]
    Damaged {
        /// The object.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version made it.
    #[error("{place} has format {found}, this version knows {FORMAT}: upgrade trailhaul")]
    Upgrade {
        /// The object.
        place: String,
        /// Its format.
        found: u32,
    },
    /// The configuration says otherwise.
    #[error(
        "{place} says {key} = {found}, the configuration says {wanted}: put the configuration back, or use a new archive"
    )]
    Disagrees {
        /// The object.
        place: String,
        /// What differs.
        key: &'static str,
        /// What the genesis says.
        found: String,
        /// What the configuration says.
        wanted: String,
    },
}

/// The genesis as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    archive: String,
    lanes: u16,
    lane_hash: String,
    /// Hex of the 32-byte key of the content hash. Whoever reads the journal is trusted with it.
    content_key: String,
    /// Set where a KMS key wraps the content key; reserved.
    wrapped_by: Option<String>,
}

/// What an archive is. `Debug` does not show the content key.
#[derive(Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The archive's id, random.
    pub archive: String,
    /// The number of lanes.
    pub lanes: u16,
    /// The key of the content hash.
    pub content_key: [u8; 32],
    /// SHA-256 (hex) of the genesis as stored: what the first entry of each lane follows.
    pub hash: String,
}

impl std::fmt::Debug for Genesis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Genesis")
            .field("archive", &self.archive)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

impl Genesis {
    /// Reads the archive's genesis; `None` when there is none yet.
    pub async fn read(store: &dyn ObjectStore, layout: &Layout) -> Result<Option<Self>, GenesisError> {
        let key = layout.genesis();
        let place = format!("{}/{key}", store.url());
        let Some(bytes) = super::journal::read_small(store, &key, MAX_BYTES).await? else { return Ok(None) };
        Self::parse(&bytes, place).map(Some)
    }

    /// Reads the archive's genesis, or makes it with `lanes` lanes. Of several makers, the first wins.
    pub async fn read_or_create(
        store: &dyn ObjectStore,
        layout: &Layout,
        lanes: u16,
    ) -> Result<Self, GenesisError> {
        let key = layout.genesis();
        let place = format!("{}/{key}", store.url());
        if let Some(found) = Self::read(store, layout).await? {
            return found.check(lanes, place);
        }
        let stored = Stored {
            format: FORMAT,
            archive: hex::encode(rand::random::<[u8; 16]>()),
            lanes,
            lane_hash: LANE_HASH.to_owned(),
            content_key: hex::encode(rand::random::<[u8; 32]>()),
            wrapped_by: None,
        };
        let damaged = |error: serde_json::Error| GenesisError::Damaged {
            place: place.clone(),
            reason: error.to_string(),
        };
        let bytes = Bytes::from(serde_json::to_vec_pretty(&stored).map_err(damaged)?);
        let options =
            PutOptions { create: true, content_type: Some("application/json"), ..PutOptions::default() };
        match store.put(&key, bytes, &options).await {
            Ok(_) => {}
            // Somebody was first, or our own write took effect unseen: what stands there counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists || error.outcome_unknown() => {}
            Err(error) => return Err(error.into()),
        }
        match Self::read(store, layout).await? {
            Some(found) => found.check(lanes, place),
            None => Err(StoreError::new(
                ErrorKind::Unavailable,
                "create genesis",
                place,
                "it is not there after the write",
            )
            .into()),
        }
    }

    fn parse(bytes: &[u8], place: String) -> Result<Self, GenesisError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |reason: String| GenesisError::Damaged { place: place.clone(), reason };
        let head: Head = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if head.format != FORMAT {
            return Err(GenesisError::Upgrade { place, found: head.format });
        }
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let mut content_key = [0; 32];
        hex::decode_to_slice(&stored.content_key, &mut content_key)
            .map_err(|_| damaged("content_key is not 64 hex digits".to_owned()))?;
        if stored.lane_hash != LANE_HASH {
            return Err(damaged(format!("lane_hash {:?} is unknown", stored.lane_hash)));
        }
        if stored.lanes == 0 {
            return Err(damaged("it has no lanes".to_owned()));
        }
        Ok(Self { archive: stored.archive, lanes: stored.lanes, content_key, hash: sha256_hex(bytes) })
    }

    fn check(self, lanes: u16, place: String) -> Result<Self, GenesisError> {
        if self.lanes == lanes {
            return Ok(self);
        }
        Err(GenesisError::Disagrees {
            place,
            key: "lanes",
            found: self.lanes.to_string(),
            wanted: lanes.to_string(),
        })
    }
}
