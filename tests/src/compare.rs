//! An archive against the truth.
//!
//! In: what must lie in the archive, and the archive's folder. Out: the differences, as texts that name the
//! content, capped in number. The archive is read as any reader would: every `*.ndjson.zst` below `data/`,
//! decompressed, one record per line; nothing of its journal is looked at. An archive that cannot be read is
//! an error, not a difference.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::model::Expected;
use crate::truth::{Sha, Truth};

/// How an archive differs from what it must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Contents of which there are too few.
    pub missing: u64,
    /// Lines that no object held, or that no haul may take.
    pub extra: u64,
    /// Contents that are there more often than they must be.
    pub repeated: u64,
    /// Lines in the archive.
    pub lines: u64,
    /// Examples, at most [`SHOWN`].
    pub examples: Vec<String>,
}

/// The most examples that are collected.
pub const SHOWN: usize = 20;

impl Differences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.repeated == 0
    }
}

/// Compares the archive below `archive` with the expected outcome.
pub fn compare(truth: &Truth, expected: &Expected, archive: &Path) -> Result<Differences> {
    let found = read_archive(archive)?;
    let mut wanted: HashMap<Sha, u64> = HashMap::with_capacity(expected.delivered.len());
    for ((_, _, sha), count) in &expected.delivered {
        *wanted.entry(*sha).or_default() += count;
    }
    let mut out = Differences { lines: found.values().sum(), ..Differences::default() };
    for (sha, want) in &wanted {
        let have = found.get(sha).copied().unwrap_or(0);
        let allowed = want + expected.doubtful.get(sha).copied().unwrap_or(0);
        if have < *want {
            out.missing += want - have;
            out.example(|| format!("missing: {} ({have} of {want})", describe(truth, *sha)));
        } else if have > allowed {
            out.repeated += have - allowed;
            out.example(|| format!("twice: {} ({have} instead of {want})", describe(truth, *sha)));
        }
    }
    for (sha, have) in &found {
        let allowed = expected.doubtful.get(sha).copied().unwrap_or(0);
        if !wanted.contains_key(sha) && *have > allowed {
            out.extra += have - allowed;
            out.example(|| format!("extra: {} ({have} times)", describe(truth, *sha)));
        }
    }
    out.examples.sort();
    Ok(out)
}

impl Differences {
    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < SHOWN {
            self.examples.push(text());
        }
    }
}

/// Says which record it is, and where it was to be found.
fn describe(truth: &Truth, sha: Sha) -> String {
    let Some(content) = truth.contents.iter().find(|content| content.sha256 == sha) else {
        return format!("a line with SHA-256 {sha}, which no object held");
    };
    let holds = |object: &&crate::truth::Object| {
        object.records.iter().chain(&object.doubtful).any(|run| run.content() == content.number)
    };
    let places: Vec<String> =
        truth.objects.iter().filter(holds).take(3).map(|o| format!("{}/{}", o.bucket, o.key)).collect();
    let id = content.id.as_deref().unwrap_or("without id");
    format!("account {} event {id} content {} in [{}]", content.account, content.number, places.join(", "))
}

/// How often each line lies in the archive.
pub fn read_archive(archive: &Path) -> Result<HashMap<Sha, u64>> {
    let mut files = Vec::new();
    collect(&archive.join("data"), &mut files)?;
    files.sort();
    let mut found = HashMap::new();
    for path in files {
        read_file(&path, &mut found).with_context(|| format!("read {}", path.display()))?;
    }
    Ok(found)
}

fn read_file(path: &Path, found: &mut HashMap<Sha, u64>) -> Result<()> {
    let mut lines = BufReader::with_capacity(1 << 18, zstd::Decoder::new(File::open(path)?)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        *found.entry(Sha::of(line.strip_suffix(b"\n").unwrap_or(&line))).or_default() += 1;
        line.clear();
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.to_string_lossy().ends_with(".ndjson.zst") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use crate::org::Options;

    /// Writes the lines as two frames in one file.
    fn archive(folder: &Path, lines: &[Vec<u8>]) {
        let data = folder.join("data/date=2026-03-01");
        fs::create_dir_all(&data).unwrap();
        let (first, second) = lines.split_at(lines.len() / 2);
        let mut bytes = Vec::new();
        for half in [first, second] {
            let text: Vec<u8> = half.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
            bytes.extend(zstd::encode_all(text.as_slice(), 1).unwrap());
        }
        fs::write(data.join("0000.ndjson.zst"), bytes).unwrap();
    }

    #[test]
    fn a_right_archive_agrees_and_each_kind_of_wrong_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { hours: 1, rate: 20, ..Options::default() };
        crate::delivery::simulate(folder.path(), &options).unwrap().1.finish().unwrap();
        let truth = crate::truth::read(&folder.path().join("truth.ndjson")).unwrap();
        let expected = model::expected_at_once(&truth, model::WINDOW);
        let right = crate::reread::lines_of(folder.path(), &truth, &expected).unwrap();

        let verdict = |lines: &[Vec<u8>]| {
            archive(folder.path(), lines);
            let d = compare(&truth, &expected, folder.path()).unwrap();
            (d.missing, d.extra, d.repeated)
        };
        assert_eq!(verdict(&right), (0, 0, 0));
        assert_eq!(verdict(&right[1..]), (1, 0, 0));
        let mut more = right.clone();
        more.push(right[0].clone());
        assert_eq!(verdict(&more), (0, 0, 1));
        more.push(b"{}".to_vec());
        assert_eq!(verdict(&more), (0, 1, 1));
        let mut changed = right.clone();
        changed[3].push(b' ');
        assert_eq!(verdict(&changed), (1, 1, 0));
    }
}
