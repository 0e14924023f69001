//! The walk: from the newest digest back along the links, falling back to the listing where one is broken.

use jiff::Timestamp;
use trailhaul_core::model::AccountId;
use trailhaul_core::verify::{Form, FormatFault, KeyRing, LogContent, PublicKey};

use super::digest::{Invalid, Loaded, load};
use super::list::{Keys, key_stamp, list};
use super::out::{Out, Printer, display};
use crate::audit::source::{ReadFailure, Source, Sources};

/// Stored bytes of a digest that are read at most.
const MAX_STORED: u64 = 64 * 1024 * 1024;

/// What to validate.
#[derive(Debug, Clone)]
pub struct LikeAws {
    /// The trail's ARN: `arn:PARTITION:cloudtrail:REGION:ACCOUNT:trail/NAME`.
    pub trail_arn: String,
    /// The bucket's name.
    pub bucket: String,
    /// What stands before `AWSLogs`, without the slash; empty for none.
    pub prefix: String,
    /// The organization's id for an organization trail.
    pub organization: Option<String>,
    /// Whose deliveries.
    pub account: AccountId,
    /// The region of the deliveries.
    pub region: String,
    /// Start of the range, in seconds since the Unix epoch.
    pub from: i64,
    /// End of the range.
    pub until: i64,
    /// Whether valid files are named too.
    pub verbose: bool,
}

impl LikeAws {
    pub(super) fn home_region(&self) -> &str {
        self.trail_arn.split(':').nth(3).unwrap_or_default()
    }

    pub(super) fn trail(&self) -> &str {
        self.trail_arn.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn prefix(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    pub(super) fn organization(&self) -> String {
        self.organization.as_ref().map_or(String::new(), |id| format!("{id}/"))
    }
}

/// The walk cannot go on: the words after the empty line.
struct Fatal(String);

/// Validates, printing as it goes; the exit code.
pub async fn validate(sources: &Sources, keys: &KeyRing, ask: &LikeAws, print: &mut Printer<'_>) -> u8 {
    let mut walk = Walk { sources, ring: keys, ask, out: Out::new(print, ask.verbose) };
    walk.out.start(&ask.trail_arn, ask.from, ask.until);
    match walk.both().await {
        Ok(()) => {
            walk.out.summary(ask.from, ask.until);
            let invalid = [walk.out.digests, walk.out.backfill, walk.out.logs].iter().any(|r| r.invalid > 0);
            u8::from(invalid)
        }
        Err(Fatal(why)) => {
            walk.out.fatal(&why);
            255
        }
    }
}

struct Walk<'a, 'b, 'c> {
    sources: &'a Sources,
    ring: &'a KeyRing,
    ask: &'a LikeAws,
    out: Out<'b, 'c>,
}

/// One pass: standard digests, or backfill digests.
struct Pass {
    backfill: bool,
    bucket: String,
    listed: Vec<String>,
    keys: Vec<PublicKey>,
}

impl Walk<'_, '_, '_> {
    async fn both(&mut self) -> Result<(), Fatal> {
        let Keys { standard, backfill } = self.list(&self.ask.bucket, self.ask.until).await?;
        let keys = self.keys(self.ask.from, self.ask.until + 7200).map_err(Fatal)?;
        let bucket = self.ask.bucket.clone();
        self.pass(Pass { backfill: false, bucket: bucket.clone(), listed: standard, keys }).await?;
        self.pass(Pass { backfill: true, bucket, listed: backfill, keys: Vec::new() }).await
    }

    async fn pass(&mut self, mut pass: Pass) -> Result<(), Fatal> {
        let Some(newest) = pass.listed.pop() else { return Ok(()) };
        let mut last_start = stamp_seconds(&newest)?;
        let mut next = Some(newest);
        while let Some(key) = next.take().filter(|_| self.ask.from <= last_start) {
            let source = self.source(&pass.bucket)?;
            let read = self.sources.read(&source, &key, MAX_STORED).await;
            let (meta, bytes) = match read {
                Ok(read) => read,
                Err(ReadFailure::Missing) => {
                    self.invalid(&pass, &key, "not found");
                    next = earlier(&mut pass.listed, &key)?;
                    continue;
                }
                Err(failure) => return Err(fatal_read(&failure)),
            };
            let checked = load(&pass.bucket, &key, &bytes, &meta.metadata)
                .and_then(|digest| self.check(&mut pass, digest));
            match checked {
                Ok((digest, start, end)) => {
                    last_start = start;
                    self.valid(&pass, &digest, start, end).await?;
                    next = self.previous(&mut pass, &digest, &key, start, end).await?;
                }
                Err(why) => {
                    self.invalid(&pass, &key, &why);
                    next = earlier(&mut pass.listed, &key)?;
                }
            }
        }
        Ok(())
    }

    /// Finds the key, checks the signature, reads the times.
    fn check(&self, pass: &mut Pass, digest: Loaded) -> Result<(Loaded, i64, i64), Invalid> {
        let named = |keys: &[PublicKey]| {
            keys.iter().rev().find(|key| key.fingerprint() == digest.fingerprint()).cloned()
        };
        let mut key = named(&pass.keys);
        if key.is_none() && pass.backfill {
            let generated = time(digest.generated.as_deref().unwrap_or_default())?;
            pass.keys.extend(self.keys(generated - 3600, generated + 3600)?);
            key = named(&pass.keys);
        }
        let Some(key) = key else {
            let (home, fingerprint) = (self.ask.home_region(), digest.fingerprint());
            return Err(format!("public key not found in region {home} for fingerprint {fingerprint}"));
        };
        digest.verify(&key)?;
        let end = time(digest.text("digestEndTime").unwrap_or_default())?;
        let start = time(digest.text("digestStartTime").unwrap_or_default())?;
        Ok((digest, start, end))
    }

    async fn valid(&mut self, pass: &Pass, digest: &Loaded, start: i64, end: i64) -> Result<(), Fatal> {
        self.out.found(start.max(self.ask.from), end.min(self.ask.until));
        let ratio = if pass.backfill { &mut self.out.backfill } else { &mut self.out.digests };
        ratio.valid += 1;
        let text = |field: &str| digest.text(field).unwrap_or_default();
        let (bucket, key) = (text("digestS3Bucket"), text("digestS3Object"));
        self.out.valid(&format!("{}Digest file\ts3://{bucket}/{key}\tvalid", label(pass)));
        let logs = digest.logs().ok_or_else(|| Fatal("'logFiles'".to_owned()))?;
        for [bucket, key, hash] in logs {
            self.log(&bucket, &key, &hash).await?;
        }
        Ok(())
    }

    async fn log(&mut self, bucket: &str, key: &str, hash: &str) -> Result<(), Fatal> {
        let source = self.source(bucket)?;
        let verdict = match self.sources.hash(&source, key, u64::MAX).await {
            Ok((content, stored)) => judge(&content, stored, hash),
            Err(ReadFailure::Missing) => Err("not found"),
            Err(failure) => return Err(fatal_read(&failure)),
        };
        match verdict {
            Ok(()) => {
                self.out.logs.valid += 1;
                self.out.valid(&format!("Log file\ts3://{bucket}/{key}\tvalid"));
            }
            Err(why) => {
                self.out.logs.invalid += 1;
                self.out.error(&format!("Log file\ts3://{bucket}/{key}\tINVALID: {why}"));
            }
        }
        Ok(())
    }

    /// Where the walk goes on after a valid digest.
    async fn previous(
        &mut self,
        pass: &mut Pass,
        digest: &Loaded,
        key: &str,
        start: i64,
        end: i64,
    ) -> Result<Option<String>, Fatal> {
        let previous = (digest.text("previousDigestS3Bucket"), digest.text("previousDigestS3Object"));
        let (Some(bucket), Some(previous)) = previous else {
            let next = earlier(&mut pass.listed, key)?;
            if let Some(next) = &next {
                let (from, until) = (display(stamp_seconds(next)?), display(start));
                let label = label(pass);
                let gap =
                    format!("{label}No log files were delivered by CloudTrail between {from} and {until}");
                self.out.error(&gap);
            }
            return Ok(next);
        };
        if bucket != pass.bucket {
            bucket.clone_into(&mut pass.bucket);
            let keys = self.list(bucket, end).await?;
            pass.listed = if pass.backfill { keys.backfill } else { keys.standard };
        }
        Ok(Some(previous.to_owned()))
    }

    fn invalid(&mut self, pass: &Pass, key: &str, why: &str) {
        let ratio = if pass.backfill { &mut self.out.backfill } else { &mut self.out.digests };
        ratio.invalid += 1;
        self.out.error(&format!("{}Digest file\ts3://{}/{key}\tINVALID: {why}", label(pass), pass.bucket));
    }

    async fn list(&self, bucket: &str, until: i64) -> Result<Keys, Fatal> {
        let source = self.source(bucket)?;
        let listed = list(self.sources, &source, self.ask, self.ask.from, until).await;
        listed.map_err(|error| {
            Fatal(format!("An error occurred when calling the ListObjects operation: {error}"))
        })
    }

    /// The keys of the region whose validity touches a range; none is an error of its own.
    fn keys(&self, from: i64, until: i64) -> Result<Vec<PublicKey>, Invalid> {
        let of_region = |region: Option<&str>| region.is_none_or(|region| region == self.ask.region);
        let touches = |key: &PublicKey| key.validity().0 <= until && key.validity().1 >= from;
        let keys: Vec<_> = self
            .ring
            .iter()
            .filter(|(region, key)| of_region(*region) && touches(key))
            .map(|(_, key)| key.clone())
            .collect();
        if keys.is_empty() {
            return Err(format!("No public keys found between {} and {}", display(from), display(until)));
        }
        Ok(keys)
    }

    fn source(&self, bucket: &str) -> Result<Source, Fatal> {
        let found = self.sources.iter().find(|source| source.bucket == bucket);
        found.cloned().ok_or_else(|| {
            let what = "An error occurred (NoSuchBucket) when calling the GetBucketLocation operation";
            Fatal(format!("{what}: the bucket {bucket} is not among those to read"))
        })
    }
}

/// The newest listed key that is older than this one; younger ones are dropped from the list.
fn earlier(listed: &mut Vec<String>, key: &str) -> Result<Option<String>, Fatal> {
    let before = stamp_seconds(key)?;
    while let Some(next) = listed.pop() {
        if stamp_seconds(&next)? < before {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// The verdict on a log's content. A stream that is cut off is compared as far as it goes.
fn judge(content: &LogContent, stored: u64, hash: &str) -> Result<(), &'static str> {
    match (content.fault, content.form) {
        (Some(FormatFault::Trailing), _) => return Err("unexpected data after end of compressed stream"),
        (None, Form::Gzip) | (Some(FormatFault::Truncated), _) => {}
        (Some(FormatFault::NotGzip), _) if stored == 0 => {}
        _ => return Err("invalid format"),
    }
    if content.sha256.to_string() == hash { Ok(()) } else { Err("hash value doesn't match") }
}

fn label(pass: &Pass) -> &'static str {
    if pass.backfill { "(backfill) " } else { "" }
}

fn fatal_read(failure: &ReadFailure) -> Fatal {
    let code = match failure {
        ReadFailure::Missing => "NoSuchKey",
        ReadFailure::Denied => "AccessDenied",
        ReadFailure::Archived => "InvalidObjectState",
        ReadFailure::Other(why) => {
            return Fatal(format!("An error occurred when calling the GetObject operation: {why}"));
        }
    };
    Fatal(format!("An error occurred ({code}) when calling the GetObject operation"))
}

fn stamp_seconds(key: &str) -> Result<i64, Fatal> {
    let stamp = key_stamp(key).unwrap_or_default();
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp);
    let at = at.ok().and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok());
    at.map(|at| at.timestamp().as_second())
        .ok_or_else(|| Fatal(format!("Unable to parse date value: {stamp}")))
}

fn time(text: &str) -> Result<i64, Invalid> {
    let at = text.parse::<Timestamp>().map_err(|_| format!("Unable to parse date value: {text}"))?;
    Ok(at.as_second())
}
