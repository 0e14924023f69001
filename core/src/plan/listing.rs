//! What on a page of a listing is new.
//!
//! In: a page and the inventory's entries for the same range of names, both in byte order. Out: the standing
//! of each listed object. One pass, no lookups. A listing that is not in order is refused: merging it would
//! take known objects for new ones, or new ones for known.

use std::cmp::Ordering;

/// How a listed object stands to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not seen before.
    New,
    /// Known under this name with another ETag: rewritten, or replaced.
    Changed,
    /// Known as it is.
    Known,
}

/// A name came after one that should follow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is listed after {before:?}: the store does not list in byte order")]
pub struct OutOfOrder {
    /// The name before.
    pub before: String,
    /// The name that came too late.
    pub name: String,
}

/// Goes through a page. `entry_of` gives name and ETag of a listed object; names of `listed` and `known` must
/// strictly ascend. What is known and not listed is left out: deletion is no concern of the tail.
pub fn compare<T, N, E>(
    listed: impl IntoIterator<Item = T>,
    entry_of: impl Fn(&T) -> (&str, &str),
    known: impl IntoIterator<Item = (N, E)>,
) -> Result<Vec<(T, Standing)>, OutOfOrder>
where
    N: AsRef<str>,
    E: AsRef<str>,
{
    let mut known = Ascending { entries: known.into_iter(), head: None, last: None };
    let mut out: Vec<(T, Standing)> = Vec::new();
    for object in listed {
        let (name, etag) = entry_of(&object);
        if let Some((before, _)) = out.last() {
            check(entry_of(before).0, name)?;
        }
        let standing = match known.at(name)? {
            None => Standing::New,
            Some(known) if known == etag => Standing::Known,
            Some(_) => Standing::Changed,
        };
        out.push((object, standing));
    }
    Ok(out)
}

fn check(before: &str, name: &str) -> Result<(), OutOfOrder> {
    if before < name {
        return Ok(());
    }
    Err(OutOfOrder { before: before.to_owned(), name: name.to_owned() })
}

/// The known entries, read as far as the listing has come.
struct Ascending<I, N, E> {
    entries: I,
    head: Option<(N, E)>,
    last: Option<String>,
}

impl<I: Iterator<Item = (N, E)>, N: AsRef<str>, E: AsRef<str>> Ascending<I, N, E> {
    /// The ETag known under `name`, which must not be below the names asked for before.
    fn at(&mut self, name: &str) -> Result<Option<&str>, OutOfOrder> {
        loop {
            if self.head.is_none() && !self.read()? {
                return Ok(None);
            }
            let order = self.head.as_ref().map(|(head, _)| head.as_ref().cmp(name));
            match order {
                Some(Ordering::Less) => self.head = None,
                Some(Ordering::Equal) => return Ok(self.head.as_ref().map(|(_, etag)| etag.as_ref())),
                Some(Ordering::Greater) | None => return Ok(None),
            }
        }
    }

    fn read(&mut self) -> Result<bool, OutOfOrder> {
        let Some(entry) = self.entries.next() else { return Ok(false) };
        let name = entry.0.as_ref();
        if let Some(last) = &self.last {
            check(last, name)?;
        }
        self.last = Some(name.to_owned());
        self.head = Some(entry);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn standings(listed: &[(&str, &str)], known: &[(&str, &str)]) -> Result<Vec<Standing>, OutOfOrder> {
        let page = compare(listed.iter(), |(name, etag)| (name, etag), known.iter().copied())?;
        Ok(page.into_iter().map(|(_, standing)| standing).collect())
    }

    #[test]
    fn disorder_is_refused_on_both_sides() {
        let error = standings(&[("b", ""), ("a", "")], &[]).unwrap_err();
        assert_eq!((error.before.as_str(), error.name.as_str()), ("b", "a"));
        assert!(standings(&[("a", ""), ("a", "")], &[]).is_err());
        assert!(standings(&[("c", "")], &[("b", ""), ("a", "")]).is_err());
    }

    proptest! {
        #[test]
        fn a_map_says_the_same(
            listed in prop::collection::btree_map("[a-c]{1,3}", "[xy]", 0..30),
            known in prop::collection::btree_map("[a-c]{1,3}", "[xy]", 0..30)
        ) {
            let expected: BTreeMap<&str, Standing> = listed
                .iter()
                .map(|(name, etag)| {
                    let standing = match known.get(name) {
                        None => Standing::New,
                        Some(known) if known == etag => Standing::Known,
                        Some(_) => Standing::Changed,
                    };
                    (name.as_str(), standing)
                })
                .collect();
            let found = compare(listed.iter(), |(name, etag)| (name, etag), known.iter()).unwrap();
            let found: BTreeMap<&str, Standing> = found.iter().map(|((name, _), s)| (name.as_str(), *s)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
