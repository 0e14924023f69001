//! What is wrong with a configuration: all of it at once, each with its place, key and a hint.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in the configuration something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the file; line and column count from 1.
    File {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// Nowhere: the file itself, or something that is missing from it.
    Whole,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub origin: Origin,
    /// The key's path (`sinks.archive.bucket`); empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// At most this many are kept: nobody reads more, and a hostile file could hold a million.
    const MOST: usize = 200;

    /// The problems of `file`. Sorted by their place; repeated ones are shown once.
    pub(super) fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| match problem.origin {
            Origin::File { line, column } => (0, line, column),
            Origin::Variable(_) => (1, 0, 0),
            Origin::Whole => (2, 0, 0),
        });
        list.dedup();
        list.truncate(Self::MOST);
        Self { file: file.to_owned(), list }
    }

    /// The problems, in the order of the file.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// One problem as a line: `trailhaul.yaml:12:3: sinks.archive.buckt: unknown key; …`.
    pub fn line(&self, problem: &Problem) -> String {
        let file = self.file.display();
        let place = match &problem.origin {
            Origin::File { line, column } => format!("{file}:{line}:{column}"),
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::Whole => file.to_string(),
        };
        if problem.key.is_empty() {
            format!("{place}: {}", problem.message)
        } else {
            format!("{place}: {}: {}", problem.key, problem.message)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.line(problem))?;
        }
        Ok(())
    }
}

/// The known word that is nearest to what was written, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words forgive more slips; a third of the letters is what people mistype at most.
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (edits(written, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edit distance with swaps of neighbours (optimal string alignment). Words are capped at 64 characters.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let change = at(&last, j) + usize::from(ca != cb);
            let mut best = change.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(cb) && b.get(j - 1) == Some(ca) {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_word_and_strangers_none() {
        let known = ["bucket", "format", "lanes", "home"];
        assert_eq!(nearest("buckt", known), Some("bucket"));
        assert_eq!(nearest("fromat", known), Some("format"));
        assert_eq!(nearest("Lanes", known), Some("lanes"));
        assert_eq!(nearest("encryption", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, distance) in [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a, b), distance, "{a} {b}");
        }
    }
}
