//! Tampering with digest files.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Act, Effect, Tamperer, Verdict, effect};
use crate::digests::{
    Digest, Document, SigningKey, metadata_path, object_path, put_metadata, store, string_to_sign,
};
use crate::reread;
use crate::truth::Sha;

impl Tamperer<'_> {
    /// The hash of a log is another: what an attacker would do who changed the log.
    pub(super) fn change_digest(&mut self) -> Result<Vec<Effect>> {
        let digest = self.one(1)?;
        let mut document = self.document(&digest)?;
        let log = document.log_files.first_mut().context("an empty digest")?;
        let flipped = if log.hash_value.starts_with('0') { "1" } else { "0" };
        log.hash_value.replace_range(..1, flipped);
        self.rewrite(&digest, &document, Act::ChangeDigest)?;
        Ok(vec![effect(&digest.bucket, &digest.key, Verdict::BadSignature)])
    }

    pub(super) fn delete_digest(&mut self) -> Result<Vec<Effect>> {
        let digest = self.one(1)?;
        self.remove(&digest, Act::DeleteDigest)
    }

    pub(super) fn delete_newest_digests(&mut self) -> Result<Vec<Effect>> {
        let (digests, _) = self.victim(0)?;
        let mut effects = Vec::new();
        for digest in digests.iter().rev().take(2) {
            effects.extend(self.remove(digest, Act::DeleteNewestDigests)?);
        }
        Ok(effects)
    }

    pub(super) fn replay_digest(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let (digests, at) = self.victim(1)?;
        let new = digests.get(at).context("no victim")?;
        let old = digests.get(at.saturating_sub(1)).context("no older digest")?;
        for file in [object_path, metadata_path] {
            fs::copy(file(root, &old.bucket, &old.key), file(root, &new.bucket, &new.key))?;
        }
        let like = self.digest_object(old)?.clone();
        let object = self.digest_object(new)?;
        (object.size, object.raw_size, object.sha256) = (like.size, like.raw_size, like.sha256);
        object.tampered.push(Act::ReplayDigest.name().to_owned());
        Ok(vec![effect(&new.bucket, &new.key, Verdict::Moved)])
    }

    pub(super) fn wrong_key(&mut self) -> Result<Vec<Effect>> {
        let digest = self.one(0)?;
        let document = self.document(&digest)?;
        self.sign(&digest, &document, &SigningKey::make()?, Act::WrongKey)?;
        Ok(vec![effect(&digest.bucket, &digest.key, Verdict::BadSignature)])
    }

    pub(super) fn unknown_key(&mut self) -> Result<Vec<Effect>> {
        let digest = self.one(0)?;
        let key = SigningKey::make()?;
        let mut document = self.document(&digest)?;
        document.digest_public_key_fingerprint = key.fingerprint();
        self.sign(&digest, &document, &key, Act::UnknownKey)?;
        Ok(vec![effect(&digest.bucket, &digest.key, Verdict::UnknownKey)])
    }

    pub(super) fn strip_metadata(&mut self) -> Result<Vec<Effect>> {
        let digest = self.one(0)?;
        fs::remove_file(metadata_path(self.root, &digest.bucket, &digest.key))?;
        self.digest_object(&digest)?.tampered.push(Act::StripMetadata.name().to_owned());
        Ok(vec![effect(&digest.bucket, &digest.key, Verdict::BadSignature)])
    }

    fn one(&mut self, logs: usize) -> Result<Digest> {
        let (digests, at) = self.victim(logs)?;
        digests.into_iter().nth(at).context("no victim")
    }

    fn document(&mut self, digest: &Digest) -> Result<Document> {
        let root = self.root;
        let object = self.digest_object(digest)?;
        Ok(serde_json::from_slice(&reread::inflated(root, object)?)?)
    }

    fn sign(&mut self, digest: &Digest, document: &Document, key: &SigningKey, act: Act) -> Result<()> {
        let inflated = self.rewrite(digest, document, act)?;
        let previous = document.previous_digest_signature.as_deref();
        let end = &document.digest_end_time;
        let text = string_to_sign(end, &digest.bucket, &digest.key, &inflated, previous);
        put_metadata(self.root, &digest.bucket, &digest.key, &key.sign(&text)?, None)
    }

    fn rewrite(&mut self, digest: &Digest, document: &Document, act: Act) -> Result<Vec<u8>> {
        let inflated = serde_json::to_vec(document)?;
        let size = store(self.root, &digest.bucket, &digest.key, &inflated)?;
        let object = self.digest_object(digest)?;
        (object.size, object.raw_size) = (size, inflated.len() as u64);
        object.sha256 = Some(Sha::of(&inflated));
        object.tampered.push(act.name().to_owned());
        Ok(inflated)
    }

    fn remove(&mut self, digest: &Digest, act: Act) -> Result<Vec<Effect>> {
        for file in [object_path, metadata_path] {
            fs::remove_file(file(self.root, &digest.bucket, &digest.key))?;
        }
        let object = self.digest_object(digest)?;
        (object.size, object.raw_size, object.sha256) = (0, 0, None);
        object.tampered.push(act.name().to_owned());
        Ok(vec![effect(&digest.bucket, &digest.key, Verdict::Missing)])
    }
}
