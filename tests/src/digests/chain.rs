//! Writing the chains of a tree.

use std::collections::BTreeMap;
use std::iter;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::document::{self, Document, LogFile, string_to_sign};
use super::files::{put_metadata, store};
use super::keys::Keys;
use super::{Chain, Digest};
use crate::org::{Account, Trail};
use crate::records::Family;
use crate::rng::Rng;
use crate::time::{self, HOUR};
use crate::truth::{Object, Sha, Truth};

/// How long after its hour a backfill digest comes.
const BACKFILL: i64 = 40 * HOUR;

/// The families that digests name. Whether the others are ever named is not documented; here they are not.
const NAMED: [Family; 2] = [Family::CloudTrail, Family::Insight];

/// Writes every chain, adds the digests to the truth, and says what they hold.
pub(super) fn write(root: &Path, truth: &mut Truth, keys: &Keys) -> Result<Vec<Chain>> {
    let organization = truth.head.organization.clone();
    let mut rng = Rng::fork(truth.head.options.seed, "digests");
    let last = truth.objects.iter().map(|object| object.delivered).max().unwrap_or_default();
    let mut chains = Vec::new();
    for (position, trail) in organization.trails.iter().enumerate().filter(|(_, trail)| trail.validation) {
        for &account in &trail.accounts {
            for region in &organization.regions {
                let first_end = truth.head.options.start + rng.range(1, HOUR);
                let mut writer = ChainWriter { root, keys, trail, account, region, position, previous: None };
                let mut hours = hours_of(truth, trail, account, region, first_end, last);
                let backfill = if chains.is_empty() { late_ones(&mut hours) } else { Vec::new() };
                chains.push(writer.chain(truth, &hours, false)?);
                if !backfill.is_empty() {
                    writer.previous = None;
                    chains.push(writer.chain(truth, &backfill, true)?);
                }
            }
        }
    }
    Ok(chains)
}

/// An hour that ends then, and the objects that were delivered in it.
type Hour = (i64, Vec<u64>);

/// The hours of a chain, and what was delivered in each. One more at the end, so that the last deliveries are
/// covered and an empty hour follows.
fn hours_of(
    truth: &Truth,
    trail: &Trail,
    account: Account,
    region: &str,
    first_end: i64,
    last: i64,
) -> Vec<Hour> {
    let mut hours: BTreeMap<i64, Vec<u64>> =
        iter::successors(Some(first_end), |end| Some(end + HOUR).filter(|end| *end <= last + 2 * HOUR))
            .map(|end| (end, Vec::new()))
            .collect();
    let of_chain = |object: &&Object| {
        let written = object.trail.and_then(|at| truth.head.organization.trails.get(at)) == Some(trail);
        let here = object.account == account && object.region == region;
        written && here && NAMED.contains(&object.family) && object.sha256.is_some()
    };
    for object in truth.objects.iter().filter(of_chain) {
        if let Some((_, logs)) = hours.range_mut(object.delivered..).next() {
            logs.push(object.number);
        }
    }
    hours.into_iter().collect()
}

/// Takes one object out of each of the first two hours that have several: CloudTrail was late with them.
fn late_ones(hours: &mut [Hour]) -> Vec<Hour> {
    let several = hours.iter_mut().filter(|(_, logs)| logs.len() > 1).take(2);
    several.filter_map(|(end, logs)| Some((*end, vec![logs.pop()?]))).collect()
}

struct ChainWriter<'a> {
    root: &'a Path,
    keys: &'a Keys,
    trail: &'a Trail,
    account: Account,
    region: &'a str,
    position: usize,
    previous: Option<Previous>,
}

/// What a digest says of the one before it.
struct Previous {
    bucket: String,
    key: String,
    sha256: Sha,
    signature: String,
}

impl ChainWriter<'_> {
    fn chain(&mut self, truth: &mut Truth, hours: &[Hour], backfill: bool) -> Result<Chain> {
        let mut digests = Vec::new();
        for (end, logs) in hours {
            digests.push(self.digest(truth, *end, logs, backfill)?);
        }
        let (trail, account, region) = (self.position, self.account, self.region.to_owned());
        Ok(Chain { trail, account, region, backfill, digests })
    }

    fn digest(&mut self, truth: &mut Truth, end: i64, logs: &[u64], backfill: bool) -> Result<Digest> {
        let generated = if backfill { end + BACKFILL } else { end + 600 };
        let signer = self.keys.at(self.region, generated)?;
        let document = self.document(truth, end, logs, backfill, signer.fingerprint())?;
        let inflated = serde_json::to_vec(&document)?;
        let previous = document.previous_digest_signature.as_deref();
        let (bucket, key) = (document.digest_s3_bucket, document.digest_s3_object);
        let text = string_to_sign(&document.digest_end_time, &bucket, &key, &inflated, previous);
        let signature = signer.sign(&text)?;
        let generated = generated + 300;
        let size = store(self.root, &bucket, &key, &inflated)?;
        put_metadata(self.root, &bucket, &key, &signature, backfill.then_some(generated))?;

        let sha256 = Sha::of(&inflated);
        truth.objects.push(Object {
            number: truth.objects.len() as u64,
            trail: Some(self.position),
            bucket: bucket.clone(),
            key: key.clone(),
            account: self.account,
            family: Family::Digest,
            region: self.region.to_owned(),
            delivered: generated,
            size,
            raw_size: inflated.len() as u64,
            sha256: Some(sha256),
            records: Vec::new(),
            doubtful: Vec::new(),
            damage: None,
            tampered: Vec::new(),
        });
        self.previous = Some(Previous { bucket: bucket.clone(), key: key.clone(), sha256, signature });
        let logs = logs.to_vec();
        Ok(Digest { bucket, key, start: end - HOUR, end, delivered: generated, sha256, logs })
    }

    fn document(
        &self,
        truth: &Truth,
        end: i64,
        logs: &[u64],
        backfill: bool,
        fingerprint: String,
    ) -> Result<Document> {
        let mut log_files = Vec::new();
        for number in logs {
            let object = truth.objects.get(usize::try_from(*number)?).context("a digest names no object")?;
            log_files.push(log_file(truth, object));
        }
        let previous = self.previous.as_ref();
        Ok(Document {
            aws_account_id: self.account.to_string(),
            digest_start_time: time::iso(end - HOUR),
            digest_end_time: time::iso(end),
            digest_s3_bucket: self.trail.bucket.clone(),
            digest_s3_object: document::key(self.trail, self.account, self.region, end, backfill),
            digest_public_key_fingerprint: fingerprint,
            digest_signature_algorithm: "SHA256withRSA".to_owned(),
            newest_event_time: log_files.iter().map(|log| log.newest_event_time.clone()).max(),
            oldest_event_time: log_files.iter().map(|log| log.oldest_event_time.clone()).min(),
            previous_digest_s3_bucket: previous.map(|p| p.bucket.clone()),
            previous_digest_s3_object: previous.map(|p| p.key.clone()),
            previous_digest_hash_value: previous.map(|p| p.sha256.to_string()),
            previous_digest_hash_algorithm: previous.map(|_| "SHA-256".to_owned()),
            previous_digest_signature: previous.map(|p| p.signature.clone()),
            log_files,
        })
    }
}

fn log_file(truth: &Truth, object: &Object) -> LogFile {
    let times = || {
        let contents = object.records.iter().filter_map(|run| truth.contents.get(run.content() as usize));
        contents.map(|content| content.time)
    };
    LogFile {
        s3_bucket: object.bucket.clone(),
        s3_object: object.key.clone(),
        hash_value: object.sha256.map(|sha| sha.to_string()).unwrap_or_default(),
        hash_algorithm: "SHA-256".to_owned(),
        newest_event_time: time::iso(times().max().unwrap_or(object.delivered)),
        oldest_event_time: time::iso(times().min().unwrap_or(object.delivered)),
    }
}
