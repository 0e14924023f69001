//! Listing a folder tree in key order.
//!
//! In: a [`ListRequest`]. Out: one page, in the byte order of whole keys, exactly as S3 lists. A folder sorts
//! as its name with a slash behind it (`a.c` comes before `a/b`, because `.` sorts before `/`). Memory: at
//! most [`PAGE`] + 1 names per level of the way down, whatever a folder holds; a folder with more is read once
//! more per page. Names that cannot be keys (not UTF-8, symbolic links, sockets, too long) are skipped and
//! counted; a folder that vanishes is empty; one that may not be read is an error, because a listing that
//! leaves something out would look like a loss.

use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::root::{Root, etag, is_file, size, split};
use crate::store::keys::{self, After, METADATA_SUFFIX, PAGE, PageBuilder, RESERVED, Taken};
use crate::store::{ErrorKind, ListPage, ListRequest, ListedObject, StoreError};

const OPERATION: &str = "list objects";

/// One page, and how many names were skipped on the way.
pub(super) fn list(root: &Root, request: &ListRequest) -> Result<(ListPage, u64), StoreError> {
    let after = After::of(request).ok_or_else(|| {
        let why = "the continuation token is not of this store";
        root.error(ErrorKind::Invalid, OPERATION, &request.prefix, why)
    })?;
    let (start, _) = split(&request.prefix);
    let start = if request.prefix.contains('/') { format!("{start}/") } else { String::new() };
    // No key lies below such a prefix, so the page is empty; nothing may be opened by it.
    if !start.is_empty() && keys::check(&format!("{start}x")).is_err() {
        return Ok((ListPage::default(), 0));
    }
    let mut walk = Walk { root, request, after, page: PageBuilder::default(), skipped: 0 };
    walk.folder(&start).map_err(|(place, error)| root.fail(OPERATION, &place, error))?;
    Ok((walk.page.finish(), walk.skipped))
}

type Located<T> = Result<T, (String, io::Error)>;

struct Walk<'a> {
    root: &'a Root,
    request: &'a ListRequest,
    after: After,
    page: PageBuilder,
    skipped: u64,
}

impl Walk<'_> {
    /// Lists what lies below `path`, which is empty or ends in a slash.
    fn folder(&mut self, path: &str) -> Located<Taken> {
        let mut passed = None;
        loop {
            let Some((folder, names, more)) = self.names(path, passed.as_deref())? else {
                return Ok(Taken::Yes);
            };
            for name in &names {
                if self.entry(&folder, path, name)? == Taken::Full {
                    return Ok(Taken::Full);
                }
            }
            if !more {
                return Ok(Taken::Yes);
            }
            passed = names.last().cloned();
        }
    }

    fn entry(&mut self, folder: &OwnedFd, path: &str, name: &str) -> Located<Taken> {
        let key = format!("{path}{name}");
        if name.ends_with('/') {
            if !self.request.delimiter || self.request.prefix.starts_with(&key) {
                return self.folder(&key);
            }
            return if self.holds_a_key(&key)? { Ok(self.page.prefix(&key)) } else { Ok(Taken::Yes) };
        }
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Taken::Yes),
            Err(errno) => return Err((key, errno.into())),
        };
        if !is_file(&stat) {
            return Ok(Taken::Yes);
        }
        let (etag, size) = (etag(&stat), size(&stat));
        Ok(self.page.object(ListedObject { key, etag, size, modified: stat.st_mtime }))
    }

    /// Whether a folded prefix has something to stand for: an empty folder is no prefix in a bucket.
    fn holds_a_key(&mut self, path: &str) -> Located<bool> {
        let mut passed = None;
        loop {
            let Some((_, names, more)) = self.names(path, passed.as_deref())? else {
                return Ok(false);
            };
            for name in &names {
                if !name.ends_with('/') || self.holds_a_key(&format!("{path}{name}"))? {
                    return Ok(true);
                }
            }
            if !more {
                return Ok(false);
            }
            passed = names.last().cloned();
        }
    }

    /// The least names of a folder that the request asks for, in order, after `passed`; folders with a slash
    /// behind them. Also whether there are more. `None` when there is no such folder.
    fn names(&mut self, path: &str, passed: Option<&str>) -> Located<Option<(OwnedFd, Vec<String>, bool)>> {
        let located = |error: io::Error| (path.to_owned(), error);
        let folder = match self.root.open_folder(path.trim_end_matches('/')) {
            Ok(folder) => folder,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(located(error)),
        };
        let mut least = BinaryHeap::new();
        let mut more = false;
        for entry in Dir::read_from(&folder).map_err(|e| located(e.into()))? {
            let entry = entry.map_err(|e| located(e.into()))?;
            let name = match self.name_of(&folder, path, entry.file_name(), entry.file_type()) {
                Some(name) if passed.is_none_or(|passed| name.as_str() > passed) => name,
                _ => continue,
            };
            if !self.wants(&format!("{path}{name}")) {
                continue;
            }
            least.push(name);
            if least.len() > PAGE + 1 {
                least.pop();
                more = true;
            }
        }
        Ok(Some((folder, least.into_sorted_vec(), more)))
    }

    fn wants(&self, key: &str) -> bool {
        let prefix = self.request.prefix.as_str();
        if key.ends_with('/') {
            (key.starts_with(prefix) || prefix.starts_with(key)) && self.after.admits_below(key)
        } else {
            key.starts_with(prefix) && self.after.admits(key)
        }
    }

    /// The name as a key would have it; `None` for what no listing shows.
    fn name_of(
        &mut self,
        folder: &OwnedFd,
        path: &str,
        raw: &std::ffi::CStr,
        file_type: FileType,
    ) -> Option<String> {
        if matches!(raw.to_bytes(), b"." | b"..")
            || (path.is_empty() && raw.to_bytes() == RESERVED.as_bytes())
        {
            return None;
        }
        let file_type = match file_type {
            // Some file systems do not tell the type along with the name.
            FileType::Unknown => {
                let stat = rustix::fs::statat(folder, raw, AtFlags::SYMLINK_NOFOLLOW).ok()?;
                FileType::from_raw_mode(stat.st_mode)
            }
            told => told,
        };
        let name = raw.to_str().ok().filter(|name| path.len() + name.len() < keys::MAX_KEY);
        match (file_type, name) {
            (FileType::RegularFile, Some(name)) if name.ends_with(METADATA_SUFFIX) => None,
            (FileType::RegularFile, Some(name)) => Some(name.to_owned()),
            (FileType::Directory, Some(name)) => Some(format!("{name}/")),
            _ => {
                self.skipped += 1;
                None
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
