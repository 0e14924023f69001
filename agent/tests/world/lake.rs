//! A data lake beside the archive of the small world: its sink, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use trailhaul::haul::{SinkPlan, SinkTarget};
use trailhaul::store::{ListRequest, ObjectStore as _};
use trailhaul_core::encode::Compression;
use trailhaul_core::model::{Entry, EntryBody, Place};
use trailhaul_core::normalize::{Format, OcsfVersion};

use super::World;

/// The lake's sink.
pub(super) fn plan(url: &str) -> SinkPlan {
    SinkPlan {
        name: "lake".into(),
        compression: Compression::None,
        format: Format::Ocsf(OcsfVersion::V1_5),
        filter: None,
        redact: Vec::new(),
        findings: false,
        target: SinkTarget::Lake { url: url.to_owned(), prefix: "deep".into(), source: "trailhaul".into() },
    }
}

impl World {
    /// Every event of the truth stands in the lake once, in the folder of its account and day, and every file is
    /// an output of a batch in the journal.
    pub(crate) async fn check_lake(&self, context: &str) {
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (account, records) in self.truth.lock().unwrap().iter() {
            let names = records.iter().map(|record| {
                let record: serde_json::Value = serde_json::from_str(record).unwrap();
                record["eventName"].as_str().unwrap().to_owned()
            });
            expected.entry(account.clone()).or_default().extend(names);
        }
        expected.values_mut().for_each(|names| names.sort());
        let named = self.lake_outputs().await;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in self.lake_keys().await {
            let Some(records) = named.get(&key) else { panic!("{context}: {key} is in no entry") };
            let rest = key.strip_prefix("deep/ext/trailhaul-base/region=eu-central-1/accountId=").unwrap();
            let (account, rest) = rest.split_once('/').unwrap();
            assert!(rest.starts_with("eventDay=20261120/"), "{context}: {key}");
            let names = activity_names(self.read_of("lake", &key).await);
            assert_eq!(names.len() as u64, *records, "{context}: {key}");
            found.entry(account.to_owned()).or_default().extend(names);
        }
        found.values_mut().for_each(|names| names.sort());
        assert_eq!(found, expected, "{context}");
        let uploads = self.stores["lake"].list_uploads("", 100).await.unwrap();
        assert!(uploads.is_empty(), "{context}: {uploads:?}");
    }

    /// Nothing stands in the lake that no entry of the journal names.
    pub(crate) async fn check_lake_uncommitted(&self, context: &str) {
        let named = self.lake_outputs().await;
        let keys: BTreeSet<String> = self.lake_keys().await;
        assert!(keys.iter().all(|key| named.contains_key(key)), "{context}: {keys:?}, named {named:?}");
    }

    async fn lake_keys(&self) -> BTreeSet<String> {
        let page = self.stores["lake"].list(&ListRequest::default()).await.unwrap();
        page.objects.into_iter().map(|object| object.key).collect()
    }

    /// The lake's outputs by key, with their records, of all entries.
    async fn lake_outputs(&self) -> BTreeMap<String, u64> {
        let mut named = BTreeMap::new();
        let keys = self.archive_keys().await;
        for key in keys.iter().filter(|key| key.starts_with("trails/journal/") && key.ends_with(".json")) {
            let entry = Entry::from_bytes(&self.read(key).await).unwrap();
            let EntryBody::Batch(batch) = entry.body else { continue };
            for output in batch.outputs.into_iter().filter(|output| output.sink == "lake") {
                if let Place::Upload { key, .. } = output.place {
                    named.insert(key, output.records);
                }
            }
        }
        named
    }
}

fn activity_names(file: Vec<u8>) -> Vec<String> {
    let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let name = |row: parquet::record::Row| {
        row.get_column_iter().find_map(|(name, value)| match value {
            Field::Str(text) if name == "activity_name" => Some(text.clone()),
            _ => None,
        })
    };
    rows.map(|row| name(row.unwrap()).unwrap()).collect()
}
