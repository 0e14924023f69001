//! Records that are good JSON, or nearly, and yet trouble a reader.

use anyhow::Result;

use super::bytes::runs;
use super::{Damage, Spoiler};
use crate::records::{Family, Scene, sized};
use crate::time;

impl Spoiler<'_> {
    /// Each of these is a JSON object, lies in one object only, and must come through once.
    pub(super) fn odd_records(&mut self) -> Result<()> {
        let long = "x".repeat(10_000);
        let texts = [
            (None, r#"{}"#.to_owned()),
            (None, r#"{"eventID":null,"n":1}"#.to_owned()),
            (None, r#"{"eventID":7,"n":2}"#.to_owned()),
            (None, r#"{"eventID":{"eventID":"a"},"n":3}"#.to_owned()),
            (None, r#"{"eventID":["a"],"eventTime":5}"#.to_owned()),
            (Some(""), r#"{"eventID":"","eventTime":"","n":4}"#.to_owned()),
            (Some("a"), r#"{"eventID":"a","eventTime":"2026-13-45T99:99:99Z"}"#.to_owned()),
            (Some("b"), r#"{"eventID":"b","eventID":"c","eventTime":"2026-02-30T00:00:00Z"}"#.to_owned()),
            (Some("d"), r#"{"event\u0049D":"d","eventTime":"not a time"}"#.to_owned()),
            (Some("e\"\\"), r#"{"eventID":"e\"\\","eventTime":"2026-03-01T00:00:00+09:00"}"#.to_owned()),
            (Some(long.as_str()), format!(r#"{{"eventID":"{long}"}}"#)),
            (Some("\u{1f680}"), r#"{"eventID":"\ud83d\ude80","EventID":"g","eventid":"h"}"#.to_owned()),
            (None, r#"{"recipientAccountId":"999900009999","accountId":"000000000000"}"#.to_owned()),
            (None, r#"{ "spaces" : [ 1 , 2 ] , "tab":	"" }"#.replace('\t', " ")),
        ];
        let mut pieces = Vec::new();
        for (id, text) in texts {
            pieces.push(self.odd(id, text)?);
        }
        let place = self.place(Family::CloudTrail)?;
        let mut object = self.tree.begin(place)?;
        for piece in &pieces {
            object.record(piece)?;
        }
        object.finish_as(self.tree, Some(Damage::OddRecords.name()), Vec::new())?;
        Ok(())
    }

    pub(super) fn huge_record(&mut self) -> Result<()> {
        let (region, account, time) = (self.region().to_owned(), self.account(), self.stamp - 60);
        let organization = &self.organization.id;
        let scene = Scene { account, other: account, organization, region: &region, time };
        let huge = sized(self.sizes.huge, &scene, &mut self.rng);
        let huge = self.note(huge)?;
        self.between_good_ones(Damage::HugeRecord, &[huge])
    }

    pub(super) fn deep_record(&mut self) -> Result<()> {
        const LEVELS: usize = 100_000;
        let (open, close) = ("[".repeat(LEVELS), "]".repeat(LEVELS));
        let arrays =
            format!(r#"{{"eventVersion":"1.08","requestParameters":{open}{close},"eventID":"deep"}}"#);
        let (open, close) = ("{\"eventID\":".repeat(LEVELS), "}".repeat(LEVELS));
        let objects =
            format!(r#"{{"eventVersion":"1.08","requestParameters":{open}1{close},"eventID":"deeper"}}"#);
        let pieces = [self.odd(Some("deep"), arrays)?, self.odd(Some("deeper"), objects)?];
        self.between_good_ones(Damage::DeepRecord, &pieces)
    }

    /// Short records with distinct ids whose times a window or a segment must not trust.
    pub(super) fn random_years(&mut self) -> Result<()> {
        let account = self.account();
        let (first, last) = (time::parse("0000-01-01T00:00:00Z")?, time::parse("9999-12-30T00:00:00Z")?);
        let place = self.place(Family::CloudTrail)?;
        let mut object = self.tree.begin(place)?;
        for _ in 0..self.sizes.many {
            let (id, at) = (self.rng.guid(), self.rng.range(first, last));
            let text = format!(
                r#"{{"eventVersion":"1.08","eventTime":"{}","eventID":"{id}","recipientAccountId":"{account}"}}"#,
                time::iso(at)
            );
            object.record(&self.odd(Some(&id), text)?)?;
        }
        object.finish_as(self.tree, Some(Damage::RandomYears.name()), Vec::new())?;
        Ok(())
    }

    /// Whether the strange ones are taken is open; the good ones around them are.
    fn between_good_ones(&mut self, damage: Damage, strange: &[crate::tree::Piece]) -> Result<()> {
        let good = self.fresh(4)?;
        let place = self.place(Family::CloudTrail)?;
        let mut object = self.tree.begin(place)?;
        let (before, behind) = good.split_at(2);
        for piece in before {
            object.record(piece)?;
        }
        for piece in strange {
            object.unnoted(piece.text.as_bytes())?;
        }
        for piece in behind {
            object.record(piece)?;
        }
        object.finish_as(self.tree, Some(damage.name()), runs(strange))?;
        Ok(())
    }
}
