//! Which keys the folder and the memory store take, and the tokens of their listings.
//!
//! In: keys and listing requests from callers. Out: keys that are safe to use as a path below a folder, and
//! the place where a listing goes on. Invariant: a key that passes names exactly one file below the root, and
//! never one of the store's own. On failure: the reason as text, for an [`ErrorKind::Invalid`] error.
//!
//! [`ErrorKind::Invalid`]: super::ErrorKind::Invalid

use std::ops::Range;

use super::{ListPage, ListRequest, ListedObject, Part};

/// Suffix of the file that holds an object's user metadata, beside the object.
pub(super) const METADATA_SUFFIX: &str = ".metadata.json";

/// First component of the store's own files; never listed.
pub(super) const RESERVED: &str = ".trailhaul";

/// S3's limit on keys, in bytes (Amazon S3 User Guide, "Naming Amazon S3 objects").
pub(super) const MAX_KEY: usize = 1024;

/// What file systems take as a name, in bytes (`NAME_MAX` on Linux and macOS).
const MAX_COMPONENT: usize = 255;

/// Objects and folded prefixes on one page, together (S3's own limit).
pub(super) const PAGE: usize = 1000;

/// The most parts of one upload (S3's own limit).
pub(super) const MAX_PARTS: u32 = 10_000;

/// Whether `key` can be an object's; the error says why not.
pub(super) fn check(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("the key is empty");
    }
    if key.len() > MAX_KEY {
        return Err("the key is longer than 1024 bytes");
    }
    if key.contains('\0') {
        return Err("the key holds a NUL byte");
    }
    if key.ends_with(METADATA_SUFFIX) {
        return Err("keys that end in .metadata.json are kept for user metadata");
    }
    for (position, component) in key.split('/').enumerate() {
        match component {
            "" => return Err("the key starts or ends with a slash, or holds an empty component"),
            "." | ".." => return Err("the key holds a . or .. component"),
            RESERVED if position == 0 => return Err("the key lies in the store's own area"),
            long if long.len() > MAX_COMPONENT => return Err("a component of the key is over 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

/// The place after which a listing goes on: a bound that every further key exceeds. Not UTF-8, because a
/// folded prefix is passed by the byte 0xFF, which no key holds.
#[derive(Debug, Default, Clone)]
pub(super) struct After(Option<Vec<u8>>);

impl After {
    /// The bound of a request; `None` where the token is not one of ours.
    pub(super) fn of(request: &ListRequest) -> Option<Self> {
        let Some(token) = &request.continuation else {
            return Some(Self(request.start_after.clone().map(String::into_bytes)));
        };
        let mut bound = token.get(1..)?.as_bytes().to_vec();
        match token.get(..1)? {
            "k" => {}
            "p" => bound.push(0xFF),
            _ => return None,
        }
        Some(Self(Some(bound)))
    }

    /// The bound for the rest of keys that start with `prefix`.
    pub(super) fn within(&self, prefix: &str) -> Self {
        let Some(bound) = self.0.as_deref() else {
            return Self(None);
        };
        match bound.strip_prefix(prefix.as_bytes()) {
            Some(rest) => Self(Some(rest.to_vec())),
            None if bound > prefix.as_bytes() => Self(Some(vec![0xFF])), // every such key comes before it
            None => Self(None),
        }
    }

    /// Whether this key comes after the bound.
    pub(super) fn admits(&self, key: &str) -> bool {
        self.0.as_deref().is_none_or(|bound| key.as_bytes() > bound)
    }

    /// Whether some key that starts with `prefix` may come after the bound.
    pub(super) fn admits_below(&self, prefix: &str) -> bool {
        self.0.as_deref().is_none_or(|bound| match bound.strip_prefix(prefix.as_bytes()) {
            Some(rest) => rest.first() != Some(&0xFF),
            None => prefix.as_bytes() > bound,
        })
    }
}

/// Collects one page; refuses what goes beyond it, which is how the end is told from a full page.
#[derive(Debug, Default)]
pub(super) struct PageBuilder {
    page: ListPage,
    token: Option<String>,
}

/// Whether the page took an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It did; go on.
    Yes,
    /// The page is full and there is more: stop.
    Full,
}

impl PageBuilder {
    /// Adds an object; items come in key order.
    pub(super) fn object(&mut self, object: ListedObject) -> Taken {
        if self.overflows() {
            return Taken::Full;
        }
        self.token = Some(format!("k{}", object.key));
        self.page.objects.push(object);
        Taken::Yes
    }

    /// Adds a folded prefix; one that is already there is taken and changes nothing.
    pub(super) fn prefix(&mut self, prefix: &str) -> Taken {
        if self.page.prefixes.last().is_some_and(|last| last == prefix) {
            return Taken::Yes;
        }
        if self.overflows() {
            return Taken::Full;
        }
        self.token = Some(format!("p{prefix}"));
        self.page.prefixes.push(prefix.to_owned());
        Taken::Yes
    }

    fn overflows(&mut self) -> bool {
        let full = self.page.objects.len() + self.page.prefixes.len() >= PAGE;
        if full {
            self.page.next = self.token.clone();
        }
        full
    }

    /// The page.
    pub(super) fn finish(self) -> ListPage {
        self.page
    }
}

/// The folded prefix of a key under a request's prefix; `None` where nothing is folded.
pub(super) fn folded<'k>(key: &'k str, request: &ListRequest) -> Option<&'k str> {
    if !request.delimiter {
        return None;
    }
    let rest = key.strip_prefix(request.prefix.as_str())?;
    let slash = rest.find('/')?;
    key.get(..request.prefix.len() + slash + 1)
}

/// The range within an object of this size; `None` where it starts beyond the end. No range is all of it.
pub(super) fn clamp(range: Option<Range<u64>>, size: u64) -> Option<Range<u64>> {
    let Some(range) = range else {
        return Some(0..size);
    };
    let end = range.end.min(size);
    (range.start < end).then_some(range.start..end)
}

/// Why these parts cannot be completed: checked alike everywhere, so that what is made for one store has the
/// shape that S3 asks for. `least` is the store's part size, in bytes.
pub(super) fn check_parts(parts: &[Part], least: usize) -> Result<(), &'static str> {
    if parts.is_empty() || parts.len() > MAX_PARTS as usize {
        return Err("an upload has 1 to 10000 parts");
    }
    if !parts.iter().map(|part| part.number).eq((1..=MAX_PARTS).take(parts.len())) {
        return Err("the parts are not numbered 1, 2, 3 and so on");
    }
    if parts.iter().rev().skip(1).any(|part| part.size < least as u64) {
        return Err("a part that is not the last is below the store's part size");
    }
    Ok(())
}

/// The bytes of all parts; `None` where they are beyond counting.
pub(super) fn total(parts: &[Part]) -> Option<u64> {
    parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_leave_or_hide_are_refused() {
        for good in ["a", "a/b", "AWSLogs/1/x.json.gz", "..a", "a/.trailhaul", ".hidden", "a b/ü"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        let deep = "x/".repeat(512) + "x";
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "./a",
            "a/..",
            "a\0b",
            "a.metadata.json",
            "x/.metadata.json",
            ".trailhaul",
            ".trailhaul/uploads/x",
            &long,
            &deep,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bound_passes_a_folded_prefix_whole() {
        let request = ListRequest { continuation: Some("pa/".into()), ..ListRequest::default() };
        let after = After::of(&request).unwrap();
        assert!(!after.admits("a/zzz") && !after.admits_below("a/") && after.admits("a0"));
        let request = ListRequest { start_after: Some("a/b".into()), ..ListRequest::default() };
        let after = After::of(&request).unwrap();
        assert!(after.admits_below("a/") && after.admits_below("b/"));
        assert!(!after.admits("a.c") && !after.admits_below("a./") && after.admits("a/b0"));
        assert!(after.within("a/").admits("c") && !after.within("a/").admits("b"));
        assert!(!after.within("Z/").admits("z") && !after.within("Z/").admits_below("z/"));
        assert!(after.within("b/").admits("a") && after.within("b/").admits_below("a/"));
        let strange = ListRequest { continuation: Some("ü".into()), ..ListRequest::default() };
        assert!(After::of(&strange).is_none());
    }
}
