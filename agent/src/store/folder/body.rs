//! Reading a file as an object.
//!
//! In: a key and [`GetOptions`]. Out: the object's metadata and its bytes, piece by piece. Invariant: the
//! bytes of one body are of one version: the file is looked at again after the last byte, and one that was
//! written, cut or grown meanwhile ends in [`ErrorKind::Changed`], never in a quiet end. Small objects are
//! read whole while the file is opened, in one turn of a blocking thread.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::Stat;

use super::metadata;
use super::root::{Root, etag, is_file, is_same, size};
use crate::store::keys;
use crate::store::{Body, ErrorKind, GetObject, GetOptions, MAX_PIECE, ObjectMeta, StoreError};

const OPERATION: &str = "read object";

/// Opens an object, and reads it if it is small.
pub(super) fn get(root: &Arc<Root>, key: &str, options: &GetOptions) -> Result<GetObject, StoreError> {
    let Some((file, stat)) = open(root, key, OPERATION)? else {
        return Err(root.error(ErrorKind::NotFound, OPERATION, key, "there is no such object"));
    };
    let tag = etag(&stat);
    if options.if_match.as_ref().is_some_and(|wanted| *wanted != tag) {
        return Err(root.error(ErrorKind::Changed, OPERATION, key, "the object is another one by now"));
    }
    if options.version.is_some() {
        return Err(root.error(ErrorKind::Invalid, OPERATION, key, "a folder keeps no versions"));
    }
    let meta = meta(root, key, &stat)?;
    let range = keys::clamp(options.range.clone(), meta.size)
        .ok_or_else(|| root.error(ErrorKind::Invalid, OPERATION, key, "the range starts beyond the end"))?;
    let small = range.end - range.start <= MAX_PIECE as u64;
    let reader = Reader { root: Arc::clone(root), key: key.to_owned(), file, stat, end: range.end };
    let ready = if small { Some(reader.piece(range.start)?) } else { None };
    let body = FolderBody { reader: Arc::new(reader), at: range.start, ready, over: false };
    Ok(GetObject { meta, body: Box::new(body) })
}

/// What is known of an object; `None` when there is none.
pub(super) fn head(root: &Root, key: &str) -> Result<Option<ObjectMeta>, StoreError> {
    match open(root, key, "look at object")? {
        Some((_, stat)) => meta(root, key, &stat).map(Some),
        None => Ok(None),
    }
}

/// Opens an object's file; `None` when there is none, or something that is not a file.
pub(super) fn open(
    root: &Root,
    key: &str,
    operation: &'static str,
) -> Result<Option<(File, Stat)>, StoreError> {
    let opened = root.open_file(key).and_then(|file| {
        let stat = rustix::fs::fstat(&file)?;
        Ok((file, stat))
    });
    match opened {
        Ok((file, stat)) if is_file(&stat) => Ok(Some((file, stat))),
        Ok(_) => Ok(None),
        Err(error) => match super::root::kind_of(&error) {
            ErrorKind::NotFound => Ok(None),
            _ => Err(root.fail(operation, key, error)),
        },
    }
}

fn meta(root: &Root, key: &str, stat: &Stat) -> Result<ObjectMeta, StoreError> {
    let metadata = metadata::read(root, key)?;
    Ok(ObjectMeta { etag: etag(stat), version: None, size: size(stat), modified: stat.st_mtime, metadata })
}

/// Reads an object on this thread: see [`LocalFiles::read`](crate::store::LocalFiles::read).
pub(super) fn read(
    root: &Root,
    key: &str,
    buffer: &mut Vec<u8>,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<u64, StoreError> {
    let Some((file, stat)) = open(root, key, OPERATION)? else {
        return Err(root.error(ErrorKind::NotFound, OPERATION, key, "there is no such object"));
    };
    let (mut at, end) = (0, size(&stat));
    while at < end {
        let length = piece_length(at, end);
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let piece = buffer.get_mut(..length).unwrap_or_default();
        read_piece(root, key, &file, &stat, at, piece, end)?;
        at += length as u64;
        if sink(piece).is_break() {
            break;
        }
    }
    Ok(end)
}

/// The length of the piece at `at`: a whole one, or what is left.
fn piece_length(at: u64, end: u64) -> usize {
    usize::try_from(end - at).map_or(MAX_PIECE, |left| left.min(MAX_PIECE))
}

/// Fills `piece` from `at` on. The one that reaches `end` is good only if the file is still what `stat` says.
fn read_piece(
    root: &Root,
    key: &str,
    file: &File,
    stat: &Stat,
    at: u64,
    piece: &mut [u8],
    end: u64,
) -> Result<(), StoreError> {
    let changed = || {
        let why = "the file was written to while it was read";
        root.error(ErrorKind::Changed, OPERATION, key, why)
    };
    file.read_exact_at(piece, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(),
        _ => root.fail(OPERATION, key, error),
    })?;
    if at + piece.len() as u64 >= end {
        let now = rustix::fs::fstat(file).map_err(|errno| root.fail(OPERATION, key, errno.into()))?;
        if !is_same(stat, &now) {
            return Err(changed());
        }
    }
    Ok(())
}

struct Reader {
    root: Arc<Root>,
    key: String,
    file: File,
    stat: Stat,
    end: u64,
}

impl Reader {
    /// The piece at `at`, which lies before the end (or at it, for an empty range).
    fn piece(&self, at: u64) -> Result<Bytes, StoreError> {
        let mut piece = vec![0; piece_length(at, self.end)];
        read_piece(&self.root, &self.key, &self.file, &self.stat, at, &mut piece, self.end)?;
        Ok(piece.into())
    }
}

struct FolderBody {
    reader: Arc<Reader>,
    at: u64,
    /// A piece that was read along with opening.
    ready: Option<Bytes>,
    over: bool,
}

#[async_trait]
impl Body for FolderBody {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(piece) = self.ready.take() {
            self.over = true;
            return Ok(Some(piece).filter(|piece| !piece.is_empty()));
        }
        if self.over || self.at >= self.reader.end {
            return Ok(None);
        }
        let (reader, at) = (Arc::clone(&self.reader), self.at);
        // The position moves only after the piece has arrived, so a dropped call reads it again.
        let piece = super::blocking(&self.reader.root, OPERATION, &self.reader.key, move || reader.piece(at));
        match piece.await {
            Ok(piece) => {
                self.at += piece.len() as u64;
                Ok(Some(piece))
            }
            Err(error) => {
                self.over = true;
                Err(error)
            }
        }
    }
}
