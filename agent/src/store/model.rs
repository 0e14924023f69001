//! Random sequences of calls, made alike on a folder and in memory: both must answer alike. And crashes: the
//! same at every durable step, with another process looking at what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::conformance::read;
use super::{
    ErrorKind, Faults, FaultyStore, FolderStore, GetOptions, ListRequest, MemoryStore, Metadata, ObjectStore,
    Part, PutOptions, Steps, StoreError, UploadRef, When,
};

/// Keys that sort in surprising ways, none of which is a folder of another.
const KEYS: [&str; 8] = ["a-", "a.c", "a/b", "a/b.c", "a/c/d", "a0", "b/x/y/z", "é/ü"];

#[derive(Debug, Clone)]
enum Action {
    Put { key: usize, byte: u8, size: usize, create: bool, metadata: bool },
    Begin { key: usize, metadata: bool },
    Part { upload: usize, number: u32, byte: u8, size: usize },
    Seal { upload: usize },
    Complete { upload: usize },
    Abort { upload: usize },
    Get { key: usize, start: u64, end: u64 },
    List { prefix: usize, cut: usize, delimiter: bool, after: Option<usize> },
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let key = 0..KEYS.len();
    let upload = 0..3usize;
    prop_oneof![
        3 => (key.clone(), any::<u8>(), 0..3000usize, any::<bool>(), any::<bool>())
            .prop_map(|(key, byte, size, create, metadata)| Action::Put { key, byte, size, create, metadata }),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, metadata)| Action::Begin { key, metadata }),
        3 => (upload.clone(), 1..3u32, any::<u8>(), 0..3000usize)
            .prop_map(|(upload, number, byte, size)| Action::Part { upload, number, byte, size }),
        1 => upload.clone().prop_map(|upload| Action::Seal { upload }),
        2 => upload.clone().prop_map(|upload| Action::Complete { upload }),
        1 => upload.prop_map(|upload| Action::Abort { upload }),
        2 => (key.clone(), 0..3000u64, 0..3000u64).prop_map(|(key, start, end)| Action::Get { key, start, end }),
        3 => (key.clone(), 0..8usize, any::<bool>(), prop::option::of(key))
            .prop_map(|(prefix, cut, delimiter, after)| Action::List { prefix, cut, delimiter, after }),
        1 => Just(Action::Restart),
    ]
}

/// One side of the comparison: a store, and the uploads begun there, in order.
struct Side {
    store: Box<dyn ObjectStore>,
    uploads: Vec<(String, String, Vec<Part>, bool)>,
}

impl Side {
    fn new(store: impl ObjectStore + 'static) -> Self {
        Self { store: Box::new(store), uploads: Vec::new() }
    }

    /// Does it, and says what came of it in words that do not depend on the kind of store.
    async fn act(&mut self, action: &Action) -> String {
        match self.try_act(action).await {
            Ok(words) => words,
            Err(error) => error.kind().label().to_owned(),
        }
    }

    async fn try_act(&mut self, action: &Action) -> Result<String, StoreError> {
        match *action {
            Action::Put { key, byte, size, create, metadata } => {
                let options = PutOptions { create, ..options(metadata) };
                let meta = self.store.put(KEYS[key], vec![byte; size].into(), &options).await?;
                Ok(format!("{} {:?}", meta.size, meta.metadata))
            }
            Action::Begin { key, metadata } => {
                let upload = self.store.begin_upload(KEYS[key], &options(metadata)).await?;
                self.uploads.push((KEYS[key].to_owned(), upload, Vec::new(), false));
                Ok("begun".into())
            }
            Action::Part { upload, number, byte, size } => {
                let Some((key, id, parts, false)) = self.uploads.get_mut(upload) else {
                    return Ok("none".into());
                };
                let part = self.store.put_part(key, id, number, vec![byte; size].into()).await?;
                parts.truncate(number as usize - 1);
                parts.push(part.clone());
                Ok(format!("{part:?}"))
            }
            Action::Seal { upload } => {
                let Some((key, id, parts, sealed)) = self.uploads.get_mut(upload) else {
                    return Ok("none".into());
                };
                self.store.seal_upload(key, id, parts).await?;
                *sealed = true;
                Ok("sealed".into())
            }
            Action::Complete { upload } => {
                let Some((key, id, parts, _)) = self.uploads.get(upload) else {
                    return Ok("none".into());
                };
                let done = self.store.complete_upload(key, id, parts).await;
                let holds = self.store.holds(key, parts).await?;
                Ok(format!("{:?} {holds}", done.map_err(|error| error.kind())))
            }
            Action::Abort { upload } => {
                let Some((key, id, _, _)) = self.uploads.get(upload) else {
                    return Ok("none".into());
                };
                self.store.abort_upload(key, id).await?;
                Ok("aborted".into())
            }
            Action::Get { key, start, end } => {
                let range = (start < end).then_some(start..end);
                let object = self.store.get(KEYS[key], GetOptions { range, ..GetOptions::default() }).await?;
                let metadata = object.meta.metadata.clone();
                Ok(format!("{metadata:?} {:?}", read(object).await.unwrap()))
            }
            Action::List { prefix, cut, delimiter, after } => {
                let mut prefix = KEYS[prefix].to_owned();
                while prefix.len() > cut {
                    prefix.pop();
                }
                let start_after = after.map(|after| KEYS[after].to_owned());
                let request = ListRequest { prefix, delimiter, start_after, continuation: None };
                let page = self.store.list(&request).await?;
                let objects: Vec<_> = page.objects.iter().map(|o| (&o.key, o.size)).collect();
                Ok(format!("{objects:?} {:?} {:?}", page.prefixes, page.next))
            }
            Action::Restart => Ok(self.state().await),
        }
    }

    /// Everything that can be seen of a store.
    async fn state(&self) -> String {
        let mut state = String::new();
        for object in self.store.list(&ListRequest::default()).await.unwrap().objects {
            let got = self.store.get(&object.key, GetOptions::default()).await.unwrap();
            let metadata = got.meta.metadata.clone();
            let bytes = read(got).await.unwrap();
            state.push_str(&format!("{} {metadata:?} {bytes:?}\n", object.key));
        }
        let mut uploads: Vec<_> =
            self.store.list_uploads("", 1000).await.unwrap().into_iter().map(|u| u.key).collect();
        uploads.sort();
        state + &format!("{uploads:?}")
    }
}

fn options(metadata: bool) -> PutOptions {
    let metadata = if metadata { Metadata::from([("name".into(), "value".into())]) } else { Metadata::new() };
    PutOptions { metadata, ..PutOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_folder_and_memory_answer_alike(actions in prop::collection::vec(action(), 1..40)) {
        let place = crate::store::scratch();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut folder = Side::new(FolderStore::create(place.path()).unwrap());
            let mut memory = Side::new(MemoryStore::new("model"));
            for action in &actions {
                if matches!(action, Action::Restart) {
                    folder.store = Box::new(FolderStore::create(place.path()).unwrap());
                    // Only sealed uploads outlive a restart; what is not sealed takes no more parts.
                    for side in [&mut folder, &mut memory] {
                        side.uploads.iter_mut().for_each(|upload| upload.3 = true);
                    }
                }
                let (ours, theirs) = (folder.act(action).await, memory.act(action).await);
                prop_assert_eq!(ours, theirs, "{:?}", action);
            }
            prop_assert_eq!(folder.state().await, memory.state().await);
            Ok(())
        })?;
    }
}

/// What a commit does, in small: an output uploaded and sealed, an entry created, the output completed.
async fn commit(store: &dyn ObjectStore, number: u32) -> Result<(), StoreError> {
    let (data, entry) = (format!("data/{number}"), format!("journal/{number}"));
    let upload = store.begin_upload(&data, &options(true)).await?;
    let part = store.put_part(&data, &upload, 1, Bytes::from(vec![number as u8; 1000])).await?;
    store.seal_upload(&data, &upload, std::slice::from_ref(&part)).await?;
    let line = serde_json::to_vec(&(&upload, &part)).unwrap();
    let create = PutOptions { create: true, ..PutOptions::default() };
    store.put(&entry, line.into(), &create).await?;
    store.complete_upload(&data, &upload, &[part]).await
}

/// What recovery does, in small: finish what has an entry, abort the rest.
async fn recover(store: &dyn ObjectStore) -> Result<u32, StoreError> {
    let request = ListRequest { prefix: "journal/".into(), ..ListRequest::default() };
    let mut entries = 0;
    for object in store.list(&request).await?.objects {
        let line = read(store.get(&object.key, GetOptions::default()).await?).await.unwrap();
        let (upload, part): (String, Part) = serde_json::from_slice(&line).unwrap();
        let (data, parts) = (object.key.replace("journal", "data"), [part]);
        match store.complete_upload(&data, &upload, &parts).await {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NoSuchUpload | ErrorKind::AlreadyExists) => {
                assert!(store.holds(&data, &parts).await?, "an entry without its object");
            }
            Err(error) => return Err(error),
        }
        entries += 1;
    }
    for UploadRef { key, upload } in store.list_uploads("data/", 1000).await? {
        store.abort_upload(&key, &upload).await?;
    }
    Ok(entries)
}

#[tokio::test]
async fn after_a_crash_at_any_step_the_rest_is_finished_or_gone() {
    for when in [When::Before, When::After] {
        // Three commits of five steps each, then recoveries that crash as well.
        for step in 1..=17 {
            for second in 1..=4 {
                let place = crate::store::scratch();
                let open = |steps: Arc<Steps>| {
                    let folder = Arc::new(FolderStore::create(place.path()).unwrap());
                    FaultyStore::new(folder, steps, Faults::default())
                };
                let steps = Steps::new();
                steps.freeze_at(step, when);
                let store = open(Arc::clone(&steps));
                let mut done = 0;
                while done < 3 && commit(&store, done).await.is_ok() {
                    done += 1;
                }
                assert_eq!(done == 3, step > 15);
                let again = Steps::new();
                again.freeze_at(second, when);
                let _ = recover(&open(again)).await;

                let store = FolderStore::create(place.path()).unwrap();
                let entries = recover(&store).await.unwrap();
                assert!(entries == done || entries == done + 1, "{entries} entries, {done} commits");
                let mut seen = BTreeMap::new();
                for object in store.list(&ListRequest::default()).await.unwrap().objects {
                    let got = store.get(&object.key, GetOptions::default()).await.unwrap();
                    if object.key.starts_with("data/") {
                        assert_eq!(got.meta.metadata.len(), 1, "metadata was lost");
                    }
                    seen.insert(object.key, read(got).await.unwrap().len());
                }
                assert_eq!(seen.len() as u32, 2 * entries, "{when:?} {step} {second}: {seen:?}");
                assert!(store.list_uploads("", 10).await.unwrap().is_empty());
                let uploads = place.path().join(".trailhaul/uploads");
                assert_eq!(std::fs::read_dir(uploads).map_or(0, Iterator::count), 0, "leftovers");
            }
        }
    }
}
