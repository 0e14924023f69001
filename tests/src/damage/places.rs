//! Objects where they do not belong.

use anyhow::Result;

use super::bytes::{damaged, gzip};
use super::{Damage, Spoiler};
use crate::org::{Account, Carries};
use crate::records::Family;
use crate::time;
use crate::tree::{Known, Place};

impl Spoiler<'_> {
    /// AWS Config writes into the same bucket; somebody leaves a note; CloudTrail tests its access. None of
    /// it is input.
    pub(super) fn unknown_family(&mut self) -> Result<()> {
        let template = self.place(Family::CloudTrail)?;
        let (account, region) = (template.account, template.region.clone());
        let folder = template.key.split("CloudTrail/").next().unwrap_or_default().to_owned();
        let (day, stamp) = (time::day_path(self.stamp), time::second_stamp(self.stamp));
        let config = gzip(br#"{"fileVersion":"1.0","configSnapshotId":"x","configurationItems":[]}"#)?;
        let query = gzip(br#"{"Records":[{"eventID":"not-an-event"}]}"#)?;
        let others: [(String, &[u8]); 5] = [
            (
                format!(
                    "{folder}Config/{region}/{day}/ConfigSnapshot/{account}_Config_{region}_ConfigSnapshot_{stamp}_x.json.gz"
                ),
                &config,
            ),
            (format!("{folder}CloudTrail-Lake/Query/{day}/result_1.csv.gz"), &query),
            (
                format!(
                    "{folder}elasticloadbalancing/{region}/{day}/{account}_elasticloadbalancing_{region}_x.log.gz"
                ),
                &query,
            ),
            (format!("{folder}CloudTrail/README.txt"), b"not a log\n"),
            ("AWSLogs/CloudTrail_Writable_Check".to_owned(), b""),
        ];
        for (key, bytes) in others {
            let place = Place { trail: None, key, family: Family::Other, ..template.clone() };
            self.tree.put_bytes(place, bytes, damaged(Damage::UnknownFamily))?;
        }
        Ok(())
    }

    /// Another member's log in a member's bucket, and a stranger's in the organization's.
    pub(super) fn planted(&mut self) -> Result<()> {
        let organization = self.organization;
        let stranger = organization.stranger();
        for trail in &organization.trails {
            let foreign = match trail.carries {
                Carries::Organization => stranger,
                Carries::Owner => {
                    organization.accounts.iter().copied().find(|a| *a != trail.owner).unwrap_or(stranger)
                }
            };
            self.plant(trail, foreign)?;
        }
        Ok(())
    }

    fn plant(&mut self, trail: &crate::org::Trail, account: Account) -> Result<()> {
        let mut json = Vec::from(Family::CloudTrail.brackets().0);
        for (index, piece) in self.fresh_of(account, 3)?.iter().enumerate() {
            json.extend_from_slice(if index == 0 { b"" } else { b"," });
            json.extend_from_slice(piece.text.as_bytes());
        }
        json.extend_from_slice(Family::CloudTrail.brackets().1.as_bytes());
        let place = self.place_in(trail, account, Family::CloudTrail);
        let known = Known { raw_size: json.len() as u64, ..damaged(Damage::Planted) };
        self.tree.put_bytes(place, &gzip(&json)?, known)?;
        Ok(())
    }
}
