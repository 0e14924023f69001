//! A writer is killed again and again; what it leaves is looked at each time. Shows that no object is ever
//! half there; what survives a power failure only fsync and the file system can promise.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::store::{Metadata, conformance};

const PLACE: &str = "TRAILHAUL_TEST_KILL_PLACE";

/// What the object under a key must hold: its key, over and over.
fn contents(key: &str) -> Vec<u8> {
    key.bytes().cycle().take(20_000).collect()
}

/// The metadata of every object: its key.
fn options(key: &str, create: bool) -> PutOptions {
    let metadata = Metadata::from([("key".to_owned(), key.to_owned())]);
    PutOptions { create, metadata, ..PutOptions::default() }
}

/// The process to be killed: writes in every way there is until it is.
#[tokio::test]
#[ignore = "run by the_killed_leave_whole_objects"]
async fn writer() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let store = FolderStore::create(place).unwrap();
    let run = unique_name();
    for number in 0u64.. {
        let key = format!("{}/{run}/{number}", number % 3);
        let body = Bytes::from(contents(&key));
        match number % 3 {
            0 => drop(store.put(&key, body, &options(&key, true)).await.unwrap()),
            1 => drop(store.put(&key, body, &options(&key, false)).await.unwrap()),
            _ => {
                let upload = store.begin_upload(&key, &options(&key, true)).await.unwrap();
                let parts = [store.put_part(&key, &upload, 1, body).await.unwrap()];
                store.seal_upload(&key, &upload, &parts).await.unwrap();
                store.complete_upload(&key, &upload, &parts).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_killed_leave_whole_objects() {
    let place = crate::store::scratch();
    let store = FolderStore::create(place.path()).unwrap();
    let mut seen = 0;
    for round in 0..60 {
        // A slow disk needs more rounds to be worth the name of a test.
        if round >= 12 && seen > 30 {
            break;
        }
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["store::folder::kill::writer", "--exact", "--ignored"])
            .env(PLACE, place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20 + round % 12 * 7)).await;
        assert_eq!(writer.try_wait().unwrap(), None, "the writer failed");
        writer.kill().unwrap();
        writer.wait().unwrap();

        let mut request = ListRequest::default();
        seen = 0;
        loop {
            let page = store.list(&request).await.unwrap();
            for object in page.objects {
                let got = store.get(&object.key, GetOptions::default()).await.unwrap();
                assert_eq!(got.meta.metadata.get("key"), Some(&object.key));
                assert!(conformance::read(got).await.unwrap() == contents(&object.key), "{}", object.key);
                seen += 1;
            }
            request.continuation = page.next;
            if request.continuation.is_none() {
                break;
            }
        }
        for upload in store.list_uploads("", 100).await.unwrap() {
            store.abort_upload(&upload.key, &upload.upload).await.unwrap();
        }
    }
    assert!(seen > 30, "only {seen} objects were written");
    FolderStore::create(place.path()).unwrap();
    let uploads = place.path().join(".trailhaul/uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0, "leftovers of uploads");
}
