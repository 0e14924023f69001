//! What a member plants in a bucket of its own: copies of genuine logs, and digests that it signed itself.
//!
//! In: genuine logs and a trail of the member's. Out: more files in the member's bucket, the truth of what a haul
//! takes from them, and where they lie. Nothing here is noted as a tampering: what verification says of a copy
//! depends on where it lies.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Effect, Tamperer, Verdict, effect};
use crate::digests::{
    Chain, Digest, Document, LogFile, SigningKey, digest_key, metadata_path, object_path, put_metadata,
    store, string_to_sign,
};
use crate::org::{Account, Trail};
use crate::records::Family;
use crate::reread;
use crate::time::{HOUR, iso, window_end};
use crate::truth::{Object, Run, Sha};

/// How a log is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Into a folder that the bucket may carry: a haul takes it.
    Taken,
    /// The same, with other content under the id of its first event.
    Altered,
    /// Into a folder that the bucket may not carry: a haul leaves it.
    Foreign,
}

impl Tamperer<'_> {
    /// Takes the backfill digests away, and the logs that they name: they come days after the other digests, and
    /// where `integrity.extra_after` is shorter these logs would be extra. The files that are gone.
    pub fn forget_backfill(&mut self) -> Result<Vec<(String, String)>> {
        let (backfill, chains): (Vec<Chain>, Vec<Chain>) =
            std::mem::take(&mut self.integrity.chains).into_iter().partition(|chain| chain.backfill);
        self.integrity.chains = chains;
        let (root, mut gone) = (self.root, Vec::new());
        for digest in backfill.into_iter().flat_map(|chain| chain.digests) {
            let Digest { bucket, key, logs, .. } = digest;
            fs::remove_file(metadata_path(root, &bucket, &key))?;
            gone.push((bucket, key));
            for number in logs {
                let log = self.object(number)?;
                log.records.clear();
                gone.push((log.bucket.clone(), log.key.clone()));
            }
        }
        for (bucket, key) in &gone {
            fs::remove_file(object_path(root, bucket, key))?;
        }
        Ok(gone)
    }

    /// Copies a log to where this trail would write one of this account; `unique` ends its name.
    pub fn copy_log(
        &mut self,
        number: u64,
        (trail, account): (&Trail, Account),
        unique: &str,
        copied: Copied,
    ) -> Result<Effect> {
        let root = self.root;
        let like = self.object(number)?.clone();
        let (text, records) = match copied {
            Copied::Altered => self.altered(&like)?,
            Copied::Taken => (String::from_utf8(reread::inflated(root, &like)?)?, like.records.clone()),
            Copied::Foreign => (String::from_utf8(reread::inflated(root, &like)?)?, Vec::new()),
        };
        let key = trail.log_key(account, like.family, &like.region, window_end(like.delivered), unique);
        let size = store(root, &trail.bucket, &key, text.as_bytes())?;
        let verdict = if copied == Copied::Foreign { Verdict::Foreign } else { Verdict::Extra };
        let planted = effect(&trail.bucket, &key, verdict);
        let text = text.into_bytes();
        self.add(Object { bucket: trail.bucket.clone(), key, account, size, ..like }, &text, records);
        Ok(planted)
    }

    /// Puts a digest of this trail beside the digests of a chain, signed with a key of its maker, that says of these
    /// logs that they hold something else, and names one that never was. `honest`: it names that key; otherwise
    /// CloudTrail's.
    pub fn forge_digest(
        &mut self,
        (trail, account): (&Trail, Account),
        beside: &Digest,
        logs: &[u64],
        honest: bool,
    ) -> Result<Effect> {
        let (root, signer) = (self.root, SigningKey::make()?);
        let like = self.digest_object(beside)?.clone();
        let genuine: Document = serde_json::from_slice(&reread::inflated(root, &like)?)?;
        let (end, bucket) = (beside.end + HOUR / 2, trail.bucket.clone());
        let key = digest_key(trail, account, &like.region, end, false);
        let mut log_files = Vec::new();
        for number in logs {
            let log = self.object(*number)?;
            log_files.push(named(&log.bucket, &log.key));
            log_files.push(named(&log.bucket, &log.key.replace(".json.gz", "never.json.gz")));
        }
        let document = Document {
            aws_account_id: account.to_string(),
            digest_start_time: iso(end - HOUR),
            digest_end_time: iso(end),
            digest_s3_bucket: bucket.clone(),
            digest_s3_object: key.clone(),
            digest_public_key_fingerprint: if honest {
                signer.fingerprint()
            } else {
                genuine.digest_public_key_fingerprint.clone()
            },
            log_files,
            ..genuine
        };
        let inflated = serde_json::to_vec(&document)?;
        let size = store(root, &bucket, &key, &inflated)?;
        let previous = document.previous_digest_signature.as_deref();
        let text = string_to_sign(&document.digest_end_time, &bucket, &key, &inflated, previous);
        put_metadata(root, &bucket, &key, &signer.sign(&text)?, None)?;
        let verdict = if honest { Verdict::UnknownKey } else { Verdict::BadSignature };
        let forged = effect(&bucket, &key, verdict);
        let family = Family::Digest;
        self.add(Object { bucket, key, account, family, size, ..like }, &inflated, Vec::new());
        Ok(forged)
    }

    /// The log with this number.
    pub fn log(&self, number: u64) -> Result<&Object> {
        let object = self.truth.objects.get(usize::try_from(number)?);
        object.with_context(|| format!("there is no object {number}"))
    }

    fn add(&mut self, object: Object, inflated: &[u8], records: Vec<Run>) {
        self.truth.objects.push(Object {
            number: self.truth.objects.len() as u64,
            trail: None,
            raw_size: inflated.len() as u64,
            sha256: Some(Sha::of(inflated)),
            records,
            doubtful: Vec::new(),
            damage: None,
            tampered: vec!["planted by a member".to_owned()],
            ..object
        });
    }
}

fn named(bucket: &str, key: &str) -> LogFile {
    LogFile {
        s3_bucket: bucket.to_owned(),
        s3_object: key.to_owned(),
        hash_value: Sha::of(key.as_bytes()).to_string(),
        hash_algorithm: "SHA-256".to_owned(),
        newest_event_time: iso(0),
        oldest_event_time: iso(0),
    }
}
