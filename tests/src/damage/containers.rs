//! Damage to the JSON around the records, and very much of nothing.

use anyhow::Result;

use super::bytes::{damaged, gzip, runs};
use super::{Damage, Spoiler};
use crate::records::Family;
use crate::tree::Known;
use crate::truth::Sha;

impl Spoiler<'_> {
    pub(super) fn no_records(&mut self) -> Result<()> {
        let place = self.place(Family::CloudTrail)?;
        self.tree.put(place, [])?;
        Ok(())
    }

    /// Good records, one that breaks off, and then records that may be read or not.
    pub(super) fn bad_json(&mut self) -> Result<()> {
        let (before, behind) = (self.fresh(5)?, self.fresh(5)?);
        let place = self.place(Family::CloudTrail)?;
        let mut object = self.tree.begin(place)?;
        for piece in &before {
            object.record(piece)?;
        }
        object.unnoted(br#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"#)?;
        for piece in &behind {
            object.unnoted(piece.text.as_bytes())?;
        }
        object.finish_as(self.tree, Some(Damage::BadJson.name()), runs(&behind))?;
        Ok(())
    }

    pub(super) fn bad_record(&mut self) -> Result<()> {
        const NO_RECORDS: [&str; 5] =
            ["42", "\"text\"", "null", r#"{"eventVersion":"1.08","eventID":}"#, r#"["eventID"]"#];
        let pieces = self.fresh(NO_RECORDS.len() + 1)?;
        let place = self.place(Family::CloudTrail)?;
        let mut object = self.tree.begin(place)?;
        for (index, piece) in pieces.iter().enumerate() {
            object.record(piece)?;
            if let Some(bad) = NO_RECORDS.get(index) {
                object.unnoted(bad.as_bytes())?;
            }
        }
        object.finish_as(self.tree, Some(Damage::BadRecord.name()), Vec::new())?;
        Ok(())
    }

    pub(super) fn spaced(&mut self) -> Result<()> {
        let pieces = self.fresh(3)?;
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let json = format!("\n{{ \"Records\"\t: [ {}\r\n ]\n}}\n", texts.join(" ,\n "));
        let known = Known { records: runs(&pieces), ..Known::default() };
        self.store_json(json.as_bytes(), known)
    }

    /// Whether such an object counts as a log file is open.
    pub(super) fn extra_keys(&mut self) -> Result<()> {
        let pieces = self.fresh(3)?;
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let json =
            format!(r#"{{"version":{{"Records":[]}},"Records":[{}],"more":["Records"]}}"#, texts.join(","));
        let known = Known { doubtful: runs(&pieces), ..damaged(Damage::ExtraKeys) };
        self.store_json(json.as_bytes(), known)
    }

    pub(super) fn empty_records(&mut self) -> Result<()> {
        let piece = self.odd(None, "{}".to_owned())?;
        let place = self.place(Family::Aggregated)?;
        let mut object = self.tree.begin(place)?;
        object.repeat(&piece, self.sizes.many)?;
        object.finish_as(self.tree, Some(Damage::EmptyRecords.name()), Vec::new())?;
        Ok(())
    }

    pub(super) fn bomb(&mut self) -> Result<()> {
        let place = self.place(Family::CloudTrail)?;
        let mut object = self.tree.begin(place)?;
        let spaces = vec![b' '; 1 << 16];
        while object.raw_size() < self.sizes.bomb {
            object.raw(&spaces)?;
        }
        object.finish_as(self.tree, Some(Damage::Bomb.name()), Vec::new())?;
        Ok(())
    }

    fn store_json(&mut self, json: &[u8], known: Known) -> Result<()> {
        let place = self.place(Family::CloudTrail)?;
        let known = Known { raw_size: json.len() as u64, sha256: Some(Sha::of(json)), ..known };
        self.tree.put_bytes(place, &gzip(json)?, known)?;
        Ok(())
    }
}
