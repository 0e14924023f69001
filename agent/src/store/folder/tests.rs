use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::store::Metadata;

fn store() -> (tempfile::TempDir, FolderStore) {
    let folder = crate::store::scratch();
    let store = FolderStore::create(folder.path()).unwrap();
    (folder, store)
}

async fn keys(store: &FolderStore, request: ListRequest) -> Vec<String> {
    let mut request = request;
    let mut keys = Vec::new();
    loop {
        let page = store.list(&request).await.unwrap();
        assert!(page.objects.len() + page.prefixes.len() <= 1000);
        let mut both: BTreeSet<String> = page.objects.into_iter().map(|o| o.key).collect();
        both.extend(page.prefixes);
        keys.extend(both);
        match page.next {
            Some(token) => request.continuation = Some(token),
            None => return keys,
        }
    }
}

#[tokio::test]
async fn foreign_names_are_passed_over_and_counted() {
    use std::os::unix::ffi::OsStrExt;
    let (folder, store) = store();
    let root = folder.path();
    fs::write(root.join("good"), "x").unwrap();
    fs::write(root.join("good.metadata.json"), "{}").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"bad\xFFname")), "x").unwrap();
    symlink("good", root.join("link")).unwrap();
    symlink("/", root.join("out")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    fs::create_dir_all(root.join("empty/folders")).unwrap();
    assert_eq!(keys(&store, ListRequest::default()).await, ["good"]);
    assert_eq!(store.skipped(), 4);
    for key in ["socket", "empty"] {
        assert_eq!(store.head(key).await.unwrap(), None, "{key}");
        let error = store.get(key, GetOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{key}");
    }
    for key in ["link", "out/etc/hostname"] {
        assert_eq!(store.head(key).await.unwrap_err().kind(), ErrorKind::Invalid, "{key}");
    }
}

#[tokio::test]
async fn a_folder_that_is_read_stays_untouched() {
    let folder = crate::store::scratch();
    fs::write(folder.path().join("a"), "x").unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    assert_eq!(keys(&store, ListRequest::default()).await, ["a"]);
    store.get("a", GetOptions::default()).await.unwrap();
    assert!(store.list_uploads("", 10).await.unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_change_while_reading_is_not_a_quiet_end() {
    let (folder, store) = store();
    let path = folder.path().join("big");
    fs::write(&path, vec![1; 3 * crate::store::MAX_PIECE]).unwrap();
    for change in ["grow", "cut", "replace"] {
        fs::write(&path, vec![1; 3 * crate::store::MAX_PIECE]).unwrap();
        let mut object = store.get("big", GetOptions::default()).await.unwrap();
        object.body.next().await.unwrap().unwrap();
        match change {
            "grow" => fs::write(&path, vec![2; 4 * crate::store::MAX_PIECE]).unwrap(),
            "cut" => fs::write(&path, "x").unwrap(),
            // A new file under the name: the open one is whole, and that is what is read.
            _ => {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "x").unwrap();
            }
        }
        let end = loop {
            match object.body.next().await {
                Ok(Some(_)) => {}
                end => break end.map_err(|error| error.kind()),
            }
        };
        let wanted = if change == "replace" { Ok(None) } else { Err(ErrorKind::Changed) };
        assert_eq!(end, wanted, "{change}");
        assert_eq!(object.body.next().await.unwrap(), None, "a body is over after its end");
    }
}

#[tokio::test]
async fn files_are_read_on_the_spot_as_they_are_read_through_bodies() {
    let (folder, store) = store();
    let (mut buffer, piece) = (Vec::new(), crate::store::MAX_PIECE);
    for size in [0, 1, piece, piece + 1, 3 * piece] {
        let bytes: Vec<u8> = (0..size).map(|n| (n / 7) as u8).collect();
        fs::write(folder.path().join("a"), &bytes).unwrap();
        let mut read = Vec::new();
        let told = store.local().unwrap().read("a", &mut buffer, &mut |part| {
            assert!(!part.is_empty() && part.len() <= piece);
            read.extend_from_slice(part);
            ControlFlow::Continue(())
        });
        assert_eq!(told.unwrap(), size as u64);
        assert!(read == bytes, "{size}");
    }
    let mut pieces = 0;
    let told = store.read("a", &mut buffer, &mut |_| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert_eq!((told.unwrap(), pieces), (3 * piece as u64, 1));
    fs::write(folder.path().join("a.metadata.json"), r#"{"x":"1"}"#).unwrap();
    assert_eq!(store.metadata("a").unwrap(), Metadata::from([("x".into(), "1".into())]));
    symlink("a", folder.path().join("link")).unwrap();
    let outcome = |key: &str| {
        let read = store.read(key, &mut Vec::new(), &mut |_| ControlFlow::Continue(()));
        read.map_err(|error| error.kind())
    };
    for (key, kind) in
        [("b", ErrorKind::NotFound), ("link", ErrorKind::Invalid), ("../a", ErrorKind::Invalid)]
    {
        assert_eq!(outcome(key), Err(kind), "{key}");
    }
}

#[tokio::test]
async fn a_change_while_reading_on_the_spot_is_not_a_quiet_end() {
    let (folder, store) = store();
    let path = folder.path().join("big");
    for (change, size) in [("grow", 4), ("cut", 0)] {
        fs::write(&path, vec![1; 3 * crate::store::MAX_PIECE]).unwrap();
        let read = store.read("big", &mut Vec::new(), &mut |_| {
            fs::write(&path, vec![2; size * crate::store::MAX_PIECE]).unwrap();
            ControlFlow::Continue(())
        });
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Changed, "{change}");
    }
}

#[tokio::test]
async fn metadata_is_read_as_copied_from_a_bucket() {
    let (folder, store) = store();
    fs::write(folder.path().join("d.json.gz"), "x").unwrap();
    let file = folder.path().join("d.json.gz.metadata.json");
    fs::write(&file, r#"{"signature": "00ff", "signature-algorithm": "SHA256withRSA"}"#).unwrap();
    let meta = store.head("d.json.gz").await.unwrap().unwrap();
    assert_eq!(meta.metadata.get("signature").map(String::as_str), Some("00ff"));
    for broken in [&b"{"[..], b"[]", br#"{"a": 1}"#, &[b' '; 70_000]] {
        fs::write(&file, broken).unwrap();
        assert_eq!(store.head("d.json.gz").await.unwrap_err().kind(), ErrorKind::Other);
    }
}

#[tokio::test]
async fn a_later_object_never_gets_an_earlier_ones_metadata() {
    let (folder, store) = store();
    let metadata = Metadata::from([("a".to_owned(), "b".to_owned())]);
    let with = PutOptions { metadata, create: true, ..PutOptions::default() };
    store.put("k", Bytes::from_static(b"1"), &with).await.unwrap();
    fs::remove_file(folder.path().join("k")).unwrap();
    let without = PutOptions { create: true, ..PutOptions::default() };
    store.put("k", Bytes::from_static(b"2"), &without).await.unwrap();
    assert!(store.head("k").await.unwrap().unwrap().metadata.is_empty());
    let error = store.put("k", Bytes::from_static(b"3"), &with).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(store.head("k").await.unwrap().unwrap().metadata.is_empty(), "the loser left metadata");
}

#[tokio::test]
async fn an_object_and_a_folder_of_one_name_is_refused_in_words() {
    let (_folder, store) = store();
    store.put("a", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    let error = store.put("a/b", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    store.put("c/d", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();
    for create in [false, true] {
        let options = PutOptions { create, ..PutOptions::default() };
        let error = store.put("c", Bytes::from_static(b"x"), &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn another_process_completes_a_sealed_upload() {
    let (folder, store) = store();
    let upload = store.begin_upload("x/y", &PutOptions::default()).await.unwrap();
    let part = store.put_part("x/y", &upload, 1, Bytes::from_static(b"bytes")).await.unwrap();
    store.seal_upload("x/y", &upload, std::slice::from_ref(&part)).await.unwrap();
    let other = FolderStore::create(folder.path()).unwrap();
    assert_eq!(other.list_uploads("x/", 10).await.unwrap().len(), 1);
    other.complete_upload("x/y", &upload, std::slice::from_ref(&part)).await.unwrap();
    assert!(other.holds("x/y", &[part]).await.unwrap());
    assert_eq!(fs::read_dir(folder.path().join(".trailhaul/uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_of_many_names_is_listed_in_order_page_by_page() {
    let (folder, store) = store();
    let mut expected = Vec::new();
    for name in 0..2503 {
        let key = format!("d{}/{name:x}", name % 2);
        let path = folder.path().join(&key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        expected.push(key);
    }
    expected.sort();
    assert_eq!(keys(&store, ListRequest::default()).await, expected);
    let request = ListRequest { delimiter: true, ..ListRequest::default() };
    assert_eq!(keys(&store, request).await, ["d0/", "d1/"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_key_leads_outside(parts in proptest::collection::vec(0..12usize, 1..6), end in ".{0,3}") {
        const PARTS: [&str; 12] =
            ["..", ".", "", "/", "a", "link", "out", ".trailhaul", "\0", "a.metadata.json", "%2F..", "uploads"];
        let outer = crate::store::scratch();
        let place = outer.path().join("store");
        fs::create_dir(&place).unwrap();
        symlink(outer.path(), place.join("out")).unwrap();
        symlink("..", place.join("link")).unwrap();
        let store = FolderStore::create(&place).unwrap();
        let key = parts.iter().map(|part| PARTS[*part]).collect::<Vec<_>>().join("/") + &end;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let body = Bytes::from_static(b"x");
            let put = store.put(&key, body.clone(), &PutOptions::default()).await;
            let _ = store.get(&key, GetOptions::default()).await;
            let _ = store.list(&ListRequest { prefix: key.clone(), ..ListRequest::default() }).await.unwrap();
            if let Ok(upload) = store.begin_upload(&key, &PutOptions::default()).await {
                let part = store.put_part(&key, &upload, 1, body).await.unwrap();
                let done = store.complete_upload(&key, &upload, &[part]).await;
                assert!(put.is_err() || done.is_err(), "a completion replaced an object");
                assert_eq!(store.list_uploads(&key, 9).await.unwrap().len(), usize::from(done.is_err()));
            }
            if put.is_ok() {
                assert_eq!(keys(&store, ListRequest::default()).await, [key.as_str()]);
            }
        });
        let outside: Vec<_> = fs::read_dir(outer.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(outside, ["store"], "{key:?} led outside");
    }
}
