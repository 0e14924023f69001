//! How far a verification has come.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Characters of the bar.
const WIDTH: u64 = 24;

/// Counters that somebody who watches reads while others count.
#[derive(Debug, Default)]
pub struct Progress {
    folders: u64,
    folders_done: AtomicU64,
    digests: AtomicU64,
    logs: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Nothing of so many folders is done.
    pub(super) fn new(folders: usize) -> Self {
        Self { folders: folders as u64, ..Self::default() }
    }

    pub(super) fn folders(&self, done: usize) {
        self.folders_done.fetch_add(done as u64, Ordering::Relaxed);
    }

    pub(super) fn digest(&self) {
        self.digests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn log(&self, bytes: u64) {
        self.logs.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One line with a bar, for a terminal.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (done, all) = (of(&self.folders_done), self.folders);
        let filled = (done * WIDTH).checked_div(all).unwrap_or(WIDTH).min(WIDTH);
        let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
        let (digests, logs, mib) = (of(&self.digests), of(&self.logs), of(&self.bytes) >> 20);
        write!(f, "[{bar}] {done}/{all} folders, {digests} digests, {logs} logs, {mib} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let progress = Progress::new(4);
        progress.folders(2);
        progress.log(3 << 20);
        let line = "[############............] 2/4 folders, 0 digests, 1 logs, 3 MiB";
        assert_eq!(progress.to_string(), line);
        progress.folders(2);
        assert!(progress.to_string().starts_with("[########################] 4/4"));
        assert!(Progress::new(0).to_string().contains("0/0"));
    }
}
