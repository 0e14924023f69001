//! The chains verify by the rules of the CloudTrail User Guide, written down once more.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::org::Options;
use crate::records::Family;
use crate::reread;
use crate::time::HOUR;
use crate::truth;

fn tree(root: &Path) -> (Truth, Integrity) {
    let options = Options { accounts: 4, regions: 2, hours: 3, rate: 30, ..Options::default() };
    crate::delivery::simulate(root, &options).unwrap().1.finish().unwrap();
    let mut truth = truth::read(&root.join("truth.ndjson")).unwrap();
    let integrity = add(root, &mut truth, &root.join(KEYS)).unwrap();
    (truth, integrity)
}

/// The published keys of a region, by fingerprint.
fn published(root: &Path, region: &str) -> BTreeMap<String, Vec<u8>> {
    let text = fs::read(root.join("public-keys").join(format!("{region}.json"))).unwrap();
    let answer: Value = serde_json::from_slice(&text).unwrap();
    let keys = answer["PublicKeyList"].as_array().unwrap().iter();
    keys.map(|key| {
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        (text("Fingerprint"), STANDARD.decode(text("Value")).unwrap())
    })
    .collect()
}

#[test]
fn every_chain_verifies_and_covers_each_log_once() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let (truth, integrity) = tree(root);
    assert_eq!(truth, truth::read(&root.join("truth.ndjson")).unwrap());
    assert_eq!(integrity, Integrity::read(root).unwrap());
    let mut named = BTreeSet::new();
    let mut fingerprints = BTreeSet::new();
    for chain in &integrity.chains {
        let keys = published(root, &chain.region);
        let mut previous: Option<(Document, String, Vec<u8>)> = None;
        for digest in &chain.digests {
            let object =
                truth.objects.iter().find(|o| o.key == digest.key && o.bucket == digest.bucket).unwrap();
            let inflated = reread::inflated(root, object).unwrap();
            let document: Document = serde_json::from_slice(&inflated).unwrap();
            let path = metadata_path(root, &digest.bucket, &digest.key);
            let metadata: BTreeMap<String, String> =
                serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let signature = metadata["signature"].clone();
            assert_eq!(metadata["signature-algorithm"], "SHA256withRSA");
            assert_eq!(metadata.contains_key("backfill-generation-timestamp"), chain.backfill);

            let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&inflated));
            let before = document.previous_digest_signature.clone().unwrap_or("null".into());
            let signed =
                format!("{}\n{}/{}\n{hash}\n{before}", document.digest_end_time, digest.bucket, digest.key);
            let public = &keys[&document.digest_public_key_fingerprint];
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
                .verify(signed.as_bytes(), &hex::decode(&signature).unwrap())
                .unwrap();
            fingerprints.insert(document.digest_public_key_fingerprint.clone());

            let link = previous.as_ref();
            assert_eq!(document.previous_digest_signature.as_ref(), link.map(|p| &p.1));
            assert_eq!(document.previous_digest_s3_object.as_ref(), link.map(|p| &p.0.digest_s3_object));
            assert_eq!(document.previous_digest_hash_value, link.map(|p| Sha::of(&p.2).to_string()));
            if let Some((last, ..)) = link.filter(|_| !chain.backfill) {
                assert_eq!(document.digest_start_time, last.digest_end_time);
            }
            for (log, number) in document.log_files.iter().zip(&digest.logs) {
                let object = &truth.objects[*number as usize];
                assert_eq!((&log.s3_object, &log.s3_bucket), (&object.key, &object.bucket));
                assert_eq!(log.hash_value, Sha::of(&reread::inflated(root, object).unwrap()).to_string());
                assert!(digest.start < object.delivered && object.delivered <= digest.end);
                assert!(named.insert(*number), "named twice");
            }
            previous = Some((document, signature, inflated));
        }
    }
    assert_eq!(fingerprints.len(), 4, "both keys of both regions have signed");
    let covered = |object: &&truth::Object| {
        let trail = object.trail.map(|at| &truth.head.organization.trails[at]);
        trail.is_some_and(|t| t.validation) && matches!(object.family, Family::CloudTrail | Family::Insight)
    };
    let must: BTreeSet<u64> = truth.objects.iter().filter(covered).map(|o| o.number).collect();
    assert_eq!(named, must);
}

#[test]
fn there_are_empty_hours_backfills_and_logs_without_digests() {
    let root = tempfile::tempdir().unwrap();
    let (truth, integrity) = tree(root.path());
    let digests = || integrity.chains.iter().flat_map(|chain| &chain.digests);
    assert!(digests().any(|digest| digest.logs.is_empty()));
    let backfill: Vec<_> = integrity.chains.iter().filter(|chain| chain.backfill).collect();
    assert_eq!((backfill.len(), backfill[0].digests.len()), (1, 2));
    assert!(
        backfill[0].digests.iter().all(|d| d.delivered - d.end > 40 * HOUR && d.key.contains("_backfill"))
    );
    let unvalidated = truth.head.organization.trails.iter().position(|t| !t.validation).unwrap();
    assert!(truth.objects.iter().any(|object| object.trail == Some(unvalidated)));
}

#[test]
fn the_same_keys_give_the_same_digests() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, first) = tree(a.path());
    fs::create_dir_all(b.path().join(KEYS)).unwrap();
    for entry in fs::read_dir(a.path().join(KEYS)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, b.path().join(KEYS).join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(first, tree(b.path()).1);
}
