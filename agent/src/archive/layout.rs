//! The keys of an archive.

use trailhaul_core::model::{BatchId, LaneId};

/// Makes keys below an archive's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

impl Layout {
    /// Keys below `prefix` (`""`, or a path without slashes at its ends).
    pub fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        Self { prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") } }
    }

    /// `journal/genesis`.
    pub fn genesis(&self) -> String {
        format!("{}journal/genesis", self.prefix)
    }

    /// `journal/LANE/NUMBER.json`.
    pub fn entry(&self, lane: LaneId, number: u64) -> String {
        format!("{}journal/{lane}/{number:012}.json", self.prefix)
    }

    /// `data/`, with the batch's own prefix and name.
    pub fn data(&self, partition: &str, batch: BatchId, extension: &str) -> String {
        format!("{}data/{partition}{batch}.{extension}", self.prefix)
    }

    /// `index/`.
    pub fn index(&self, batch: BatchId) -> String {
        format!("{}index/{batch}.ids", self.prefix)
    }

    /// `quarantine/`.
    pub fn quarantine(&self, partition: &str, batch: BatchId) -> String {
        format!("{}quarantine/{partition}{batch}.ndjson", self.prefix)
    }

    /// `quarantine/refused/SINK/`: pointers to records that a sink cannot take.
    pub fn refused(&self, sink: &str, partition: &str, batch: BatchId) -> String {
        format!("{}quarantine/refused/{sink}/{partition}{batch}.ndjson", self.prefix)
    }

    /// A file of a data lake, in the folder that its readers expect below the prefix. Files of one batch differ in
    /// their number.
    pub fn lake_file(&self, folder: &str, batch: BatchId, number: u32) -> String {
        format!("{}{folder}{batch}.{number}.parquet", self.prefix)
    }

    /// Where the files of a data lake are: every unfinished upload of ours lies below it.
    pub fn lake_folder(&self) -> String {
        format!("{}ext/", self.prefix)
    }

    /// `findings/`: records of findings.
    pub fn findings(&self, partition: &str, batch: BatchId, extension: &str) -> String {
        format!("{}findings/{partition}{batch}.{extension}", self.prefix)
    }

    /// Where the records of findings are.
    pub fn findings_folder(&self) -> String {
        format!("{}findings/", self.prefix)
    }

    /// Where batches upload to: every unfinished upload of ours lies below one of these.
    pub fn upload_folders(&self) -> [String; 4] {
        ["data/", "index/", "quarantine/", "findings/"].map(|folder| format!("{}{folder}", self.prefix))
    }
}

impl Layout {
    /// The batch that an upload's key names (its last component up to the first dot); `None` for keys that are
    /// not ours.
    pub fn batch_of(key: &str) -> Option<BatchId> {
        let name = key.rsplit('/').next()?;
        name.split('.').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_their_batch() {
        let batch = BatchId { lane: LaneId(3), epoch: 2, batch: 7 };
        for prefix in ["", "trails", "/a/b/"] {
            let layout = Layout::new(prefix);
            let keys = [
                layout.data("date=2026-11-22/", batch, "ndjson.zst"),
                layout.index(batch),
                layout.quarantine("date=2026-11-22/", batch),
                layout.findings("date=2026-11-22/", batch, "ndjson.zst"),
            ];
            for (key, folder) in keys.iter().zip(["data/", "index/", "quarantine/", "findings/"]) {
                assert_eq!(Layout::batch_of(key), Some(batch));
                assert!(
                    layout
                        .upload_folders()
                        .iter()
                        .any(|f| key.starts_with(f.as_str()) && f.ends_with(folder))
                );
            }
            let file = layout.lake_file("ext/source/region=r/", batch, 12);
            assert_eq!(Layout::batch_of(&file), Some(batch));
            assert!(file.starts_with(&layout.lake_folder()));
            assert_eq!(Layout::batch_of(&layout.entry(LaneId(3), 1)), None);
        }
    }
}
