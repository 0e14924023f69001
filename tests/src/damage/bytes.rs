//! Damage to the stored bytes: the gzip stream and what surrounds it.

use std::io::{Read as _, Write as _};

use anyhow::Result;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::{Damage, Spoiler};
use crate::records::Family;
use crate::tree::{Known, Piece};
use crate::truth::{Run, Sha};

impl Spoiler<'_> {
    pub(super) fn not_gzip(&mut self) -> Result<()> {
        let bytes: Vec<u8> = (0..4_096).map(|_| self.rng.below(256) as u8 & 0x7f).collect();
        self.store(&[b"\0\0", bytes.as_slice()].concat(), damaged(Damage::NotGzip))
    }

    pub(super) fn plain_json(&mut self) -> Result<()> {
        let pieces = self.fresh(4)?;
        let json = wrapped(&pieces);
        let (raw_size, sha256) = (json.len() as u64, Some(Sha::of(&json)));
        let known = Known { raw_size, sha256, records: runs(&pieces), ..damaged(Damage::PlainJson) };
        self.store(&json, known)
    }

    /// What the longest inflatable prefix holds is recoverable; the last record of it is doubtful, because
    /// inflaters may stop some bytes earlier.
    pub(super) fn truncated_gzip(&mut self) -> Result<()> {
        let pieces = self.fresh(40)?;
        let mut stored = gzip(&wrapped(&pieces))?;
        stored.truncate(stored.len() * 6 / 10);
        let mut inflated = Vec::new();
        // The error is the point: what came before it counts.
        let _ = GzDecoder::new(stored.as_slice()).read_to_end(&mut inflated);
        let mut end = Family::CloudTrail.brackets().0.len();
        let whole = pieces.iter().take_while(|piece| {
            end += piece.text.len() + 1;
            end - 1 <= inflated.len()
        });
        let whole = whole.count();
        let (sure, unsure) = pieces.split_at(whole.saturating_sub(1));
        let known = Known {
            raw_size: inflated.len() as u64,
            records: runs(sure),
            doubtful: runs(unsure.get(..1).unwrap_or_default()),
            ..damaged(Damage::TruncatedGzip)
        };
        self.store(&stored, known)
    }

    /// Everything inflates, and the checksum says that something is wrong with it.
    pub(super) fn bad_checksum(&mut self) -> Result<()> {
        let pieces = self.fresh(5)?;
        let json = wrapped(&pieces);
        let mut stored = gzip(&json)?;
        let checksum = stored.len().saturating_sub(8);
        if let Some(byte) = stored.get_mut(checksum) {
            *byte ^= 0x10;
        }
        let raw_size = json.len() as u64;
        self.store(&stored, Known { raw_size, doubtful: runs(&pieces), ..damaged(Damage::BadChecksum) })
    }

    pub(super) fn trailing_bytes(&mut self) -> Result<()> {
        let pieces = self.fresh(5)?;
        let json = wrapped(&pieces);
        let stored = [gzip(&json)?, b"trailing".to_vec()].concat();
        let raw_size = json.len() as u64;
        self.store(&stored, Known { raw_size, records: runs(&pieces), ..damaged(Damage::TrailingBytes) })
    }

    pub(super) fn second_member(&mut self) -> Result<()> {
        let (pieces, planted) = (self.fresh(5)?, self.fresh(3)?);
        let json = wrapped(&pieces);
        let stored = [gzip(&json)?, gzip(&wrapped(&planted))?].concat();
        let raw_size = json.len() as u64;
        self.store(&stored, Known { raw_size, records: runs(&pieces), ..damaged(Damage::SecondMember) })
    }

    pub(super) fn empty_object(&mut self) -> Result<()> {
        self.store(b"", damaged(Damage::EmptyObject))
    }

    fn store(&mut self, bytes: &[u8], known: Known) -> Result<()> {
        let place = self.place(Family::CloudTrail)?;
        self.tree.put_bytes(place, bytes, known)?;
        Ok(())
    }
}

pub(super) fn damaged(damage: Damage) -> Known {
    Known { damage: Some(damage.name().to_owned()), ..Known::default() }
}

pub(super) fn runs(pieces: &[Piece]) -> Vec<Run> {
    pieces.iter().map(|piece| Run::One(piece.number)).collect()
}

fn wrapped(pieces: &[Piece]) -> Vec<u8> {
    let (before, after) = Family::CloudTrail.brackets();
    let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    format!("{before}{}{after}", texts.join(",")).into_bytes()
}

pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::new(6));
    out.write_all(bytes)?;
    Ok(out.finish()?)
}
