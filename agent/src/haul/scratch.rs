//! Scratch space for a batch's ids: memory first, then a file in the state folder. Its content never outlives
//! the process: nothing is synced, and a file found at start is emptied.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use trailhaul_core::dedup::{BoxError, SpillStore};

/// Bytes kept in memory before they go to the file: the ids of ten thousand records, which most batches
/// never reach.
const MEMORY: usize = 512 * 1024;

/// One lane's scratch space.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    file: Option<File>,
    /// Bytes in the file; the buffer follows them.
    flushed: u64,
    buffer: Vec<u8>,
}

impl Scratch {
    /// Scratch space that may use this file.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, flushed: 0, buffer: Vec::new() }
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file =
                OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&self.path)?;
            self.file = Some(file);
        }
        if let Some(file) = &self.file {
            file.write_all_at(&self.buffer, self.flushed)?;
        }
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl SpillStore for Scratch {
    fn append(&mut self, bytes: &[u8]) -> Result<u64, BoxError> {
        let offset = self.flushed + self.buffer.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= MEMORY {
            self.flush()?;
        }
        Ok(offset)
    }

    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), BoxError> {
        let end = offset + into.len() as u64;
        if offset < self.flushed && end > self.flushed {
            // Rare: a read across the border. One flush makes it a plain one.
            self.flush()?;
        }
        if end <= self.flushed {
            let file = self.file.as_ref().ok_or("the scratch file is gone")?;
            return Ok(file.read_exact_at(into, offset)?);
        }
        let beyond = "a read beyond the end of the scratch space";
        let start = usize::try_from(offset.checked_sub(self.flushed).ok_or(beyond)?)?;
        let bytes = self.buffer.get(start..start + into.len()).ok_or(beyond)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), BoxError> {
        if let Some(file) = &self.file {
            file.set_len(0)?;
        }
        self.flushed = 0;
        // A lane between two batches holds no memory.
        self.buffer = Vec::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path().join("lanes/0001"));
        for round in 0..2_u8 {
            let mut offsets = Vec::new();
            for n in 0..40_000_u32 {
                let entry: Vec<u8> = n.to_be_bytes().iter().copied().chain([round; 53]).collect();
                offsets.push(scratch.append(&entry).unwrap());
            }
            let mut entry = [0; 57];
            for n in [0_u32, 1, 9_197, 9_198, 9_199, 20_000, 39_999] {
                scratch.read_at(offsets[n as usize], &mut entry).unwrap();
                assert_eq!(entry[..4], n.to_be_bytes());
                assert_eq!(entry[4], round);
            }
            let mut all = vec![0; 40_000 * 57];
            scratch.read_at(0, &mut all).unwrap();
            assert!(scratch.read_at(40_000 * 57 - 1, &mut [0; 2]).is_err());
            scratch.clear().unwrap();
            assert_eq!(scratch.append(b"x").unwrap(), 0);
            scratch.clear().unwrap();
        }
    }
}
