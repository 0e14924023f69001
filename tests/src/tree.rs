//! The tree on disk: buckets as folders, the truth beside them.
//!
//! In: records and places. Out: `OUT/buckets/BUCKET/KEY`, `OUT/truth.ndjson`. An object is streamed into its
//! file, so one of any size takes little memory; what it holds is noted when it is finished. User metadata
//! lies beside an object as `KEY.metadata.json` (a JSON object of names and texts), only where there is any.
//! Failure: the error of the file system; the tree is then without a `tail` in its truth.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::org::{Account, Options, Organization};
use crate::records::{Family, Record};
use crate::truth::{Head, Object, Run, Sha, Tail, TruthWriter};

/// A tree being written.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    level: Compression,
    made: HashSet<PathBuf>,
    /// The truth about it.
    pub truth: TruthWriter,
}

/// Where an object goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The trail that writes there, by its position in the organization; none for what is planted.
    pub trail: Option<usize>,
    /// The bucket's name.
    pub bucket: String,
    /// The key below it.
    pub key: String,
    /// The account of its folder.
    pub account: Account,
    /// What kind of file it is.
    pub family: Family,
    /// The region of its folder.
    pub region: String,
    /// When it appears, in seconds since the Unix epoch.
    pub delivered: i64,
}

/// A record that has been noted in the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its number there.
    pub number: u64,
    /// Its bytes.
    pub text: String,
}

impl Tree {
    /// A new tree below `root`, which is created.
    pub fn create(root: &Path, options: &Options, organization: &Organization) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
        let head = Head { options: options.clone(), organization: organization.clone() };
        let truth = TruthWriter::create(&root.join("truth.ndjson"), head)?;
        let tree = Self {
            root: root.to_owned(),
            level: Compression::new(options.level),
            made: HashSet::new(),
            truth,
        };
        for trail in &organization.trails {
            fs::create_dir_all(tree.bucket(&trail.bucket))?;
        }
        Ok(tree)
    }

    /// The folder of a bucket.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.root.join("buckets").join(name)
    }

    /// Notes a record, so that objects can hold it.
    pub fn note(&mut self, record: &Record) -> Result<u64> {
        self.truth.content(record.account, record.id.as_deref(), record.time, record.text.as_bytes())
    }

    /// Writes an object that holds these records and nothing else.
    pub fn put<'a>(&mut self, place: Place, pieces: impl IntoIterator<Item = &'a Piece>) -> Result<u64> {
        let mut object = self.begin(place)?;
        for piece in pieces {
            object.record(piece)?;
        }
        object.finish(self)
    }

    /// Begins an object; its head is written.
    pub fn begin(&mut self, place: Place) -> Result<ObjectWriter> {
        let path = self.path(&place)?;
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let (before, after) = place.family.brackets();
        let out = GzEncoder::new(BufWriter::new(file), self.level);
        let out = Hashing { out, sha: Sha256::new(), size: 0 };
        let mut object = ObjectWriter { place, out, after, records: Vec::new(), separator: false };
        object.raw(before.as_bytes())?;
        Ok(object)
    }

    /// Writes these very bytes as an object. The caller says what is true of them.
    pub fn put_bytes(&mut self, place: Place, bytes: &[u8], known: Known) -> Result<u64> {
        let path = self.path(&place)?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        self.truth.object(object(place, bytes.len() as u64, known))
    }

    /// Writes user metadata beside an object.
    pub fn put_metadata(&mut self, place: &Place, metadata: &BTreeMap<String, String>) -> Result<()> {
        let mut path = self.path(place)?.into_os_string();
        path.push(".metadata.json");
        fs::write(path, serde_json::to_vec(metadata)?)?;
        Ok(())
    }

    /// Ends the truth.
    pub fn finish(self) -> Result<Tail> {
        self.truth.finish()
    }

    fn path(&mut self, place: &Place) -> Result<PathBuf> {
        let path = self.bucket(&place.bucket).join(&place.key);
        if let Some(folder) = path.parent()
            && !self.made.contains(folder)
        {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
            self.made.insert(folder.to_owned());
        }
        Ok(path)
    }
}

/// What is true of bytes that were not written record by record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Inflated bytes, as far as they inflate.
    pub raw_size: u64,
    /// Their hash, when they are one whole gzip member.
    pub sha256: Option<Sha>,
    /// What a correct haul takes.
    pub records: Vec<Run>,
    /// What it may take.
    pub doubtful: Vec<Run>,
    /// What is wrong.
    pub damage: Option<String>,
}

/// An object being written.
#[derive(Debug)]
pub struct ObjectWriter {
    place: Place,
    out: Hashing,
    after: &'static str,
    records: Vec<Run>,
    separator: bool,
}

impl ObjectWriter {
    /// Adds a record.
    pub fn record(&mut self, piece: &Piece) -> Result<()> {
        self.unnoted(piece.text.as_bytes())?;
        self.records.push(Run::One(piece.number));
        Ok(())
    }

    /// Adds the same record many times.
    pub fn repeat(&mut self, piece: &Piece, count: u64) -> Result<()> {
        for _ in 0..count {
            self.unnoted(piece.text.as_bytes())?;
        }
        self.records.push(Run::Repeat(piece.number, count));
        Ok(())
    }

    /// Adds something in a record's place that is none.
    pub fn unnoted(&mut self, bytes: &[u8]) -> Result<()> {
        if self.separator {
            self.out.write_all(b",")?;
        }
        self.separator = true;
        self.raw(bytes)
    }

    /// Adds bytes as they are, without a comma.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Inflated bytes so far.
    pub fn raw_size(&self) -> u64 {
        self.out.size
    }

    /// Closes the object and notes it.
    pub fn finish(self, tree: &mut Tree) -> Result<u64> {
        self.finish_as(tree, None, Vec::new())
    }

    /// Closes an object with something wrong in it, and notes it.
    pub fn finish_as(mut self, tree: &mut Tree, damage: Option<&str>, doubtful: Vec<Run>) -> Result<u64> {
        self.raw(self.after.as_bytes())?;
        let Hashing { out, sha, size } = self.out;
        let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        let known = Known {
            raw_size: size,
            sha256: Some(Sha(sha.finalize().into())),
            records: self.records,
            doubtful,
            damage: damage.map(str::to_owned),
        };
        tree.truth.object(object(self.place, file.metadata()?.len(), known))
    }
}

fn object(place: Place, size: u64, known: Known) -> Object {
    let Place { trail, bucket, key, account, family, region, delivered } = place;
    let Known { raw_size, sha256, records, doubtful, damage } = known;
    Object {
        number: 0,
        trail,
        bucket,
        key,
        account,
        family,
        region,
        delivered,
        size,
        raw_size,
        sha256,
        records,
        doubtful,
        damage,
        tampered: Vec::new(),
    }
}

/// Compresses, hashes and counts.
#[derive(Debug)]
struct Hashing {
    out: GzEncoder<BufWriter<File>>,
    sha: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
