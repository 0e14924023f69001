//! What every [`ObjectStore`] must do, as a function that any implementation's tests can call.
//!
//! In: a store and a prefix that nobody else uses. Out: nothing, or the first promise that was broken, in
//! words. Leaves its objects behind (stores need no delete). Not tested here: crashes, changed files, what a
//! particular store cannot take; those tests live beside each store. Moves some 30 MiB.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::{
    ErrorKind, GetObject, GetOptions, ListRequest, MAX_PIECE, MIN_PART, Metadata, ObjectStore, Part,
    PutOptions, StoreError, VersionMarker, VersionRequest,
};

/// Checks every promise of the seam on keys below `prefix`, which must be empty or end in `/`.
///
/// # Errors
/// The first promise that does not hold.
pub async fn check(store: &dyn ObjectStore, prefix: &str) -> Result<()> {
    check_except(store, prefix, &[]).await
}

/// A promise that a stand-in for a store is known to break. Where one is listed the suite still asks for a
/// failure, but not for its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// A part for an upload that is not there fails in the wrong way.
    PartOfNoUpload,
}

/// Checks every promise but these.
///
/// # Errors
/// The first promise that does not hold.
pub async fn check_except(store: &dyn ObjectStore, prefix: &str, gaps: &[Gap]) -> Result<()> {
    ensure!(prefix.is_empty() || prefix.ends_with('/'), "the prefix must end in a slash");
    let suite = Suite { store, prefix, gaps };
    suite.url().context("the url")?;
    suite.nothing_there().await.context("objects that are not there")?;
    suite.put_and_get().await.context("writing and reading")?;
    suite.ranges().await.context("reading ranges")?;
    suite.conditions().await.context("conditional calls")?;
    suite.order().await.context("the order of listings")?;
    suite.pages().await.context("long listings")?;
    suite.upload().await.context("uploads")?;
    suite.upload_conflicts().await.context("uploads that meet")?;
    suite.upload_mistakes().await.context("uploads called wrongly")?;
    suite.uploads_listed().await.context("listing uploads")?;
    suite.versions().await.context("listing versions")
}

/// Checks that keys which could lead out of a folder, or mean two things, are refused by every call. For
/// stores that keep files; S3 has its own rules for keys.
///
/// # Errors
/// The first key that was taken.
pub async fn check_keys(store: &dyn ObjectStore, prefix: &str) -> Result<()> {
    Suite { store, prefix, gaps: &[] }.bad_keys().await
}

/// Reads a body to its end, checking the rules for pieces.
///
/// # Errors
/// The body's own, as text; or a piece that is empty or too large.
pub async fn read(mut object: GetObject) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = object.body.next().await? {
        ensure!(!piece.is_empty() && piece.len() <= MAX_PIECE, "a piece of {} bytes", piece.len());
        bytes.extend_from_slice(&piece);
    }
    ensure!(object.body.next().await?.is_none(), "a body goes on after its end");
    Ok(bytes)
}

struct Suite<'s> {
    store: &'s dyn ObjectStore,
    prefix: &'s str,
    gaps: &'s [Gap],
}

impl Suite<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn put(&self, name: &str, bytes: &[u8], create: bool) -> Result<String, StoreError> {
        let options = PutOptions { create, ..PutOptions::default() };
        let meta = self.store.put(&self.key(name), Bytes::copy_from_slice(bytes), &options).await?;
        Ok(meta.etag)
    }

    async fn get(&self, name: &str, options: GetOptions) -> Result<Vec<u8>> {
        read(self.store.get(&self.key(name), options).await?).await
    }

    fn url(&self) -> Result<()> {
        let url = self.store.url();
        ensure!(url.contains("://") && !url.ends_with('/'), "{url}");
        Ok(())
    }

    async fn bad_keys(&self) -> Result<()> {
        for name in ["", "../x", "x/../../../../x", "/x", "x//y", "x/", "./x", "x\0y", "x.metadata.json"] {
            // Behind a prefix some of these would be good keys.
            let key = if name == "/x" { name.to_owned() } else { self.key(name) };
            let key = if name.is_empty() { String::new() } else { key };
            fails(
                self.store.put(&key, Bytes::new(), &PutOptions::default()).await,
                ErrorKind::Invalid,
                &key,
            )?;
            fails(self.store.get(&key, GetOptions::default()).await, ErrorKind::Invalid, &key)?;
            fails(self.store.head(&key).await, ErrorKind::Invalid, &key)?;
            fails(self.store.begin_upload(&key, &PutOptions::default()).await, ErrorKind::Invalid, &key)?;
        }
        Ok(())
    }

    async fn nothing_there(&self) -> Result<()> {
        let key = self.key("nothing/here");
        ensure!(self.store.head(&key).await?.is_none(), "a HEAD finds something");
        fails(self.store.get(&key, GetOptions::default()).await, ErrorKind::NotFound, "get")?;
        ensure!(!self.store.holds(&key, &[part(1, b"x")]).await?, "it holds something");
        self.store.abort_upload(&key, "0123456789abcdef0123456789abcdef").await.context("abort")?;
        let page = self.store.list(&ListRequest { prefix: key, ..ListRequest::default() }).await?;
        ensure!(page.objects.is_empty() && page.prefixes.is_empty() && page.next.is_none(), "{page:?}");
        Ok(())
    }

    async fn put_and_get(&self) -> Result<()> {
        let metadata = Metadata::from([
            ("plain".to_owned(), "value".to_owned()),
            ("signature".to_owned(), "0".repeat(1024)),
        ]);
        for size in [0, 1, MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE + 7] {
            let (name, bytes) = (format!("put/{size}"), pattern(size, 1));
            let key = self.key(&name);
            let options = PutOptions {
                create: true,
                metadata: metadata.clone(),
                content_type: Some("application/octet-stream"),
            };
            let put = self.store.put(&key, Bytes::from(bytes.clone()), &options).await?;
            let head = self.store.head(&key).await?.context("no object after a put")?;
            ensure!(put.etag == head.etag && !head.etag.contains('"'), "{put:?} is not {head:?}");
            ensure!(head.size == size as u64 && head.metadata == metadata, "{head:?}");
            let got = self.store.get(&key, GetOptions::default()).await?;
            ensure!(got.meta == head, "a GET says {:?}, a HEAD {head:?}", got.meta);
            ensure!(read(got).await? == bytes, "other bytes came back ({size})");
        }
        self.put("put/1", b"replaced", false).await?;
        ensure!(self.get("put/1", GetOptions::default()).await? == b"replaced", "a put does not replace");
        let head = self.store.head(&self.key("put/1")).await?.context("gone")?;
        ensure!(head.metadata.is_empty(), "the metadata of the object before: {head:?}");
        Ok(())
    }

    async fn ranges(&self) -> Result<()> {
        let bytes = pattern(2 * MAX_PIECE + 100, 2);
        self.put("range", &bytes, false).await?;
        let size = bytes.len() as u64;
        for (start, end) in [(0, 1), (5, 9), (0, size), (size - 1, size), (100, 100 + MAX_PIECE as u64 + 1)] {
            let options = GetOptions { range: Some(start..end), ..GetOptions::default() };
            let object = self.store.get(&self.key("range"), options).await?;
            ensure!(object.meta.size == size, "the size is the object's, not the range's");
            let wanted = bytes.get(start as usize..end as usize).context("range")?;
            ensure!(read(object).await? == wanted, "{start}..{end}");
        }
        let beyond = GetOptions { range: Some(size - 3..size + 50), ..GetOptions::default() };
        ensure!(self.get("range", beyond).await?.len() == 3, "a range is cut at the end");
        let outside = GetOptions { range: Some(size..size + 1), ..GetOptions::default() };
        fails(self.store.get(&self.key("range"), outside).await, ErrorKind::Invalid, "outside")
    }

    async fn conditions(&self) -> Result<()> {
        let first = self.put("condition", b"one", true).await?;
        fails(self.put("condition", b"two", true).await, ErrorKind::AlreadyExists, "create")?;
        let matching = GetOptions { if_match: Some(first.clone()), ..GetOptions::default() };
        ensure!(self.get("condition", matching.clone()).await? == b"one", "a create replaced");
        let second = self.put("condition", b"six", false).await?;
        ensure!(first != second, "an ETag stays though the bytes changed");
        fails(self.store.get(&self.key("condition"), matching.clone()).await, ErrorKind::Changed, "get")?;
        let part = GetOptions { range: Some(1..2), ..matching };
        fails(self.store.get(&self.key("condition"), part).await, ErrorKind::Changed, "get range")?;
        let (key, options) = (self.key("race"), PutOptions { create: true, ..PutOptions::default() });
        let racers = (0..8).map(|i| self.store.put(&key, Bytes::from(vec![i; 100]), &options));
        let outcomes = futures::future::join_all(racers).await;
        let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        let [winner] = won.as_slice() else { bail!("{} creates of one key succeeded", won.len()) };
        let head = self.store.head(&key).await?.context("no object after a race")?;
        ensure!(head.etag == winner.etag, "the loser's object stands");
        Ok(())
    }

    async fn list(&self, mut request: ListRequest) -> Result<(Vec<String>, Vec<String>)> {
        let (mut names, mut prefixes) = (Vec::new(), Vec::new());
        request.prefix = self.key(&request.prefix);
        request.start_after = request.start_after.map(|name| self.key(&name));
        for _ in 0..100 {
            let page = self.store.list(&request).await?;
            let count = page.objects.len() + page.prefixes.len();
            ensure!(count <= 1000 && (count > 0 || page.next.is_none()), "a page of {count}");
            let strip = |key: &str| key.strip_prefix(self.prefix).map(str::to_owned).context("a strange key");
            for object in &page.objects {
                names.push(strip(&object.key)?);
            }
            for prefix in &page.prefixes {
                prefixes.push(strip(prefix)?);
            }
            request.start_after = None;
            request.continuation = page.next;
            if request.continuation.is_none() {
                return Ok((names, prefixes));
            }
        }
        bail!("a listing without end")
    }

    async fn order(&self) -> Result<()> {
        // Byte order: '-' < '.' < '/' < '0' < 'A' < 'a' < 'é'.
        let all = [
            "order/a-",
            "order/a.c",
            "order/a/b",
            "order/a/b.c",
            "order/a/c/d",
            "order/a0",
            "order/b/x",
            "order/é",
        ];
        for name in all.iter().rev() {
            self.put(name, b"x", false).await?;
        }
        let request = |prefix: &str| ListRequest { prefix: prefix.to_owned(), ..ListRequest::default() };
        let (names, _) = self.list(request("order/")).await?;
        ensure!(names == all, "{names:?}");
        for (prefix, wanted) in
            [("order/a", 0..6), ("order/a/", 2..5), ("order/a/b", 2..4), ("order/x", 0..0)]
        {
            let (names, _) = self.list(request(prefix)).await?;
            ensure!(Some(names.as_slice()) == strings(all.get(wanted)).as_deref(), "{prefix}: {names:?}");
        }
        for (after, from) in
            [("order/a/b", 3), ("order/a", 0), ("order/a/", 2), ("order/b", 6), ("order/é", 8)]
        {
            let request = ListRequest { start_after: Some(after.into()), ..request("order/") };
            let (names, _) = self.list(request).await?;
            ensure!(
                Some(names.as_slice()) == strings(all.get(from..)).as_deref(),
                "after {after}: {names:?}"
            );
        }
        let folded = |prefix: &str| ListRequest { delimiter: true, ..request(prefix) };
        let (names, prefixes) = self.list(folded("order/")).await?;
        ensure!(names == ["order/a-", "order/a.c", "order/a0", "order/é"], "{names:?}");
        ensure!(prefixes == ["order/a/", "order/b/"], "{prefixes:?}");
        let (names, prefixes) = self.list(folded("order")).await?;
        ensure!(names.is_empty() && prefixes == ["order/"], "{names:?} {prefixes:?}");
        let (names, prefixes) = self.list(folded("order/a/")).await?;
        ensure!(names == ["order/a/b", "order/a/b.c"] && prefixes == ["order/a/c/"], "{prefixes:?}");
        Ok(())
    }

    async fn pages(&self) -> Result<()> {
        const MANY: usize = 1100;
        let mut wanted = Vec::new();
        for group in 0..11 {
            let names: Vec<_> = (0..MANY / 11).map(|i| format!("many/{group:02}/{i:04}")).collect();
            let keys: Vec<_> = names.iter().map(|name| self.key(name)).collect();
            let options = PutOptions::default();
            let puts = keys.iter().map(|key| self.store.put(key, Bytes::from_static(b"x"), &options));
            futures::future::try_join_all(puts).await?;
            wanted.extend(names);
        }
        let request = ListRequest { prefix: "many/".to_owned(), ..ListRequest::default() };
        let (names, _) = self.list(request.clone()).await?;
        ensure!(names == wanted, "{} names came, {} were there", names.len(), wanted.len());
        let (names, prefixes) = self.list(ListRequest { delimiter: true, ..request }).await?;
        ensure!(names.is_empty() && prefixes.len() == 11, "{prefixes:?}");
        let first = ListRequest { prefix: self.key("many/"), ..ListRequest::default() };
        let page = self.store.list(&first).await?;
        ensure!(page.next.is_some(), "more than a page, and no token");
        Ok(())
    }

    /// Every store answers: with nothing, or with what is there now and may have been before.
    async fn versions(&self) -> Result<()> {
        for name in ["versions/a", "versions/b"] {
            self.put(name, b"first", false).await?;
            self.put(name, b"second", false).await?;
        }
        let mut request = VersionRequest { prefix: self.key("versions/"), after: None };
        let page = self.store.list_versions(&request).await?;
        ensure!(page.next.is_none(), "four versions are more than a page");
        ensure!(page.versions.iter().all(|version| version.key.starts_with(&request.prefix)), "{page:?}");
        let now: Vec<_> = page.versions.iter().filter(|version| version.latest).collect();
        ensure!(now.is_empty() || now.len() == 2, "{page:?}");
        ensure!(now.iter().all(|version| !version.delete_marker && version.size == 6), "{now:?}");
        request.after = Some(VersionMarker { key: self.key("versions/a"), version: None });
        let rest = self.store.list_versions(&request).await?;
        let expected: Vec<_> = page.versions.iter().filter(|v| v.key.ends_with('b')).cloned().collect();
        ensure!(rest.versions == expected, "{rest:?} instead of {expected:?}");
        Ok(())
    }

    async fn upload(&self) -> Result<()> {
        let key = self.key("upload/whole");
        let metadata = Metadata::from([("a".to_owned(), "b".to_owned())]);
        let options = PutOptions { metadata: metadata.clone(), ..PutOptions::default() };
        let upload = self.store.begin_upload(&key, &options).await?;
        let (first, second) = (pattern(MIN_PART, 3), pattern(1000, 4));
        // Parts are replaced by shorter ones and by a longer one.
        self.store.put_part(&key, &upload, 1, pattern(MIN_PART + 9, 9).into()).await?;
        let one = self.store.put_part(&key, &upload, 1, first.clone().into()).await?;
        self.store.put_part(&key, &upload, 2, pattern(10, 9).into()).await?;
        self.store.put_part(&key, &upload, 2, pattern(2000, 9).into()).await?;
        let two = self.store.put_part(&key, &upload, 2, second.clone().into()).await?;
        ensure!((one.number, one.size, one.sha256.len()) == (1, MIN_PART as u64, 64), "{one:?}");
        let parts = [one, two];
        self.store.seal_upload(&key, &upload, &parts).await?;
        ensure!(self.store.head(&key).await?.is_none(), "visible before it is completed");
        ensure!(!self.store.holds(&key, &parts).await?, "it holds what is not there");
        let (names, _) =
            self.list(ListRequest { prefix: "upload/".into(), ..ListRequest::default() }).await?;
        ensure!(names.is_empty(), "an unfinished upload is listed: {names:?}");
        self.store.complete_upload(&key, &upload, &parts).await?;
        let got = self.store.get(&key, GetOptions::default()).await?;
        ensure!(got.meta.metadata == metadata, "{:?}", got.meta);
        ensure!(read(got).await? == [first, second].concat(), "the parts do not make up the object");
        ensure!(self.store.holds(&key, &parts).await?, "it does not hold what it holds");
        let other = [parts[0].clone(), part(2, &pattern(1000, 5))];
        ensure!(!self.store.holds(&key, &other).await?, "it holds other bytes of the same size");
        ensure!(!self.store.holds(&key, &parts[..1]).await?, "it holds a part as the whole");
        match self.store.complete_upload(&key, &upload, &parts).await.map_err(|error| error.kind()) {
            Ok(()) | Err(ErrorKind::NoSuchUpload | ErrorKind::AlreadyExists) => {}
            Err(kind) => bail!("completed twice: {}", kind.label()),
        }
        self.store.abort_upload(&key, &upload).await?;
        ensure!(self.store.holds(&key, &parts).await?, "an abort after completion took the object");
        Ok(())
    }

    async fn upload_conflicts(&self) -> Result<()> {
        let key = self.key("conflict/key");
        let options = PutOptions::default();
        let begun = self.store.begin_upload(&key, &options).await?;
        let other = self.store.begin_upload(&key, &options).await?;
        ensure!(begun != other, "two uploads have one id");
        let winner = [self.store.put_part(&key, &begun, 1, Bytes::from_static(b"winner")).await?];
        let loser = [self.store.put_part(&key, &other, 1, Bytes::from_static(b"loser.")).await?];
        self.store.seal_upload(&key, &begun, &winner).await?;
        self.store.seal_upload(&key, &other, &loser).await?;
        self.store.complete_upload(&key, &begun, &winner).await?;
        let refused = self.store.complete_upload(&key, &other, &loser).await;
        fails(refused, ErrorKind::AlreadyExists, "completed over an object")?;
        ensure!(self.store.holds(&key, &winner).await?, "the loser stands");
        ensure!(!self.store.holds(&key, &loser).await?, "both stand");
        self.store.abort_upload(&key, &other).await?;
        ensure!(self.get("conflict/key", GetOptions::default()).await? == b"winner", "the abort changed it");
        ensure!(self.store.list_uploads(&key, 10).await?.is_empty(), "an aborted upload is listed");
        Ok(())
    }

    async fn upload_mistakes(&self) -> Result<()> {
        let key = self.key("mistake/key");
        for strange in ["", "../../x", "0123456789abcdef0123456789abcdef"] {
            let put = self.store.put_part(&key, strange, 1, Bytes::from_static(b"x")).await;
            if self.gaps.contains(&Gap::PartOfNoUpload) {
                ensure!(put.is_err(), "a part of no upload was taken");
            } else {
                fails(put, ErrorKind::NoSuchUpload, strange)?;
            }
            let done = self.store.complete_upload(&key, strange, &[part(1, b"x")]).await;
            fails(done, ErrorKind::NoSuchUpload, strange)?;
            self.store.abort_upload(&key, strange).await.context("abort what is not there")?;
        }
        let upload = self.store.begin_upload(&key, &PutOptions::default()).await?;
        let short = self.store.put_part(&key, &upload, 1, Bytes::from_static(b"short")).await?;
        let next = self.store.put_part(&key, &upload, 2, Bytes::from_static(b"next")).await?;
        fails(self.store.complete_upload(&key, &upload, &[]).await, ErrorKind::Invalid, "no parts")?;
        let both = [short, next];
        fails(self.store.complete_upload(&key, &upload, &both).await, ErrorKind::Invalid, "a short part")?;
        ensure!(self.store.head(&key).await?.is_none(), "a refused completion is visible");
        Ok(self.store.abort_upload(&key, &upload).await?)
    }

    async fn uploads_listed(&self) -> Result<()> {
        let mut wanted = Vec::new();
        for name in ["open/a/1", "open/a/1", "open/ab", "open/b/2"] {
            let key = self.key(name);
            let upload = self.store.begin_upload(&key, &PutOptions::default()).await?;
            let parts = [self.store.put_part(&key, &upload, 1, Bytes::from_static(b"x")).await?];
            self.store.seal_upload(&key, &upload, &parts).await?;
            wanted.push((key, upload));
        }
        wanted.sort();
        for (prefix, count) in [("open/", 4), ("open/a", 3), ("open/a/", 2), ("open/b/2", 1), ("open/c", 0)] {
            let found = self.store.list_uploads(&self.key(prefix), 100).await?;
            let mut found: Vec<_> = found.into_iter().map(|u| (u.key, u.upload)).collect();
            found.sort();
            ensure!(found.len() == count && found.iter().all(|u| wanted.contains(u)), "{prefix}: {found:?}");
        }
        ensure!(self.store.list_uploads(&self.key("open/"), 3).await?.len() == 3, "the limit");
        for (key, upload) in &wanted {
            self.store.abort_upload(key, upload).await?;
        }
        ensure!(self.store.list_uploads(&self.key("open/"), 3).await?.is_empty(), "aborted, and listed");
        Ok(())
    }
}

fn strings(names: Option<&[&str]>) -> Option<Vec<String>> {
    Some(names?.iter().map(|&name| name.to_owned()).collect())
}

fn fails<T>(outcome: Result<T, StoreError>, kind: ErrorKind, what: &str) -> Result<()> {
    match outcome {
        Ok(_) => bail!("{what:?} succeeded; expected {}", kind.label()),
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => {
            let got = error.kind().label();
            Err(anyhow::Error::new(error).context(format!("{what:?}: {got}; expected {}", kind.label())))
        }
    }
}

/// Bytes that differ from place to place and from seed to seed.
fn pattern(size: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

fn part(number: u32, bytes: &[u8]) -> Part {
    use sha2::{Digest, Sha256};
    let sha256 = hex::encode(Sha256::digest(bytes));
    Part { number, etag: sha256.clone(), size: bytes.len() as u64, sha256 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FolderStore, MemoryStore};

    #[tokio::test]
    async fn a_folder_conforms() {
        let folder = crate::store::scratch();
        let store = FolderStore::create(folder.path()).unwrap();
        check(&store, "some/prefix/").await.unwrap();
        check(&store, "").await.unwrap();
        check_keys(&store, "some/prefix/").await.unwrap();
    }

    #[tokio::test]
    async fn memory_conforms() {
        let store = MemoryStore::new("conformance");
        check(&store, "some/prefix/").await.unwrap();
        check(&store, "").await.unwrap();
        check_keys(&store, "some/prefix/").await.unwrap();
    }
}
