//! A tree that grows as the organization lived: objects appear when they were delivered.
//!
//! In: a finished tree, and a time that only moves forward. Out: a second tree below another root that holds
//! what was delivered until then, out of order as it was. For tests with a simulated clock. An object and its
//! metadata appear whole, metadata first; they are links to the finished tree where the file system can, else
//! copies. What was deleted by tampering never appears. Failure: the error of the file system.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::digests::{metadata_path, object_path};
use crate::truth::{Object, Truth};

/// A growing copy of a tree.
#[derive(Debug)]
pub struct Replay<'a> {
    finished: PathBuf,
    live: PathBuf,
    waiting: std::iter::Peekable<std::vec::IntoIter<&'a Object>>,
}

impl<'a> Replay<'a> {
    /// Nothing is there yet, except the buckets themselves.
    pub fn new(finished: &Path, truth: &'a Truth, live: &Path) -> Result<Self> {
        for trail in &truth.head.organization.trails {
            fs::create_dir_all(live.join("buckets").join(&trail.bucket))?;
        }
        let mut waiting: Vec<&Object> = truth.objects.iter().collect();
        waiting.sort_by_key(|object| (object.delivered, object.number));
        let waiting = waiting.into_iter().peekable();
        Ok(Self { finished: finished.to_owned(), live: live.to_owned(), waiting })
    }

    /// Lets everything appear that was delivered at `time` or before, and answers what that is.
    pub fn advance(&mut self, time: i64) -> Result<Vec<&'a Object>> {
        let mut appeared = Vec::new();
        while let Some(object) = self.waiting.next_if(|object| object.delivered <= time) {
            if self.place(object)? {
                appeared.push(object);
            }
        }
        Ok(appeared)
    }

    /// When the next object appears; `None` when all have.
    pub fn next_at(&mut self) -> Option<i64> {
        self.waiting.peek().map(|object| object.delivered)
    }

    fn place(&self, object: &Object) -> Result<bool> {
        let (bucket, key) = (&object.bucket, &object.key);
        let from = object_path(&self.finished, bucket, key);
        if !from.is_file() {
            return Ok(false);
        }
        let to = object_path(&self.live, bucket, key);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let metadata = metadata_path(&self.finished, bucket, key);
        if metadata.is_file() {
            link(&metadata, &metadata_path(&self.live, bucket, key))?;
        }
        link(&from, &to)?;
        Ok(true)
    }
}

fn link(from: &Path, to: &Path) -> Result<()> {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::Options;
    use crate::truth;

    #[test]
    fn objects_appear_when_they_were_delivered() {
        let (finished, live) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = Options { accounts: 3, hours: 2, rate: 20, ..Options::default() };
        crate::delivery::simulate(finished.path(), &options).unwrap().1.finish().unwrap();
        let truth = truth::read(&finished.path().join("truth.ndjson")).unwrap();
        let mut replay = Replay::new(finished.path(), &truth, live.path()).unwrap();
        let there = |object: &Object| object_path(live.path(), &object.bucket, &object.key).is_file();

        let noon = options.start + 3_600;
        let early = replay.advance(noon).unwrap();
        assert!(!early.is_empty() && early.is_sorted_by_key(|object| object.delivered));
        assert!(truth.objects.iter().all(|object| there(object) == (object.delivered <= noon)));
        assert!(replay.next_at().unwrap() > noon);
        let late = replay.advance(i64::MAX).unwrap();
        assert_eq!(early.len() + late.len(), truth.objects.len());
        assert_eq!((replay.next_at(), truth.objects.iter().all(there)), (None, true));
    }
}
