//! The ids of a batch as packed rows in (segment, id, content) order.
//!
//! In: a batch's tentative entries, in list order. Out: rows of at most [`MAX_ROW`] entries, each of one
//! segment. The same batch always gives the same rows.
//!
//! Entries are sorted [`RUN`] at a time into the scratch space, behind themselves, and merged from there, so
//! that memory stays near 4 MiB; packing a second time only merges. Most batches are one run.
//! On failure the batch is over: nothing was committed by then.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::entry::{ENTRY_LEN, MAX_ROW};
use super::error::DedupError;
use super::segment::{SEGMENT_KEY_LEN, SegmentKey};
use super::stores::{SpillStore, TakeRow};
use super::tentative::{RECORD, Tentative};

/// Entries that are sorted at once: 3.6 MiB. At most 32 runs make a batch.
const RUN: usize = 65_536;
/// Entries of a run that are read at once while merging: 14 KiB, times 32 runs.
const AHEAD: usize = 256;

/// Where the sorted runs of a batch lie in the scratch space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs {
    offset: u64,
    entries: u64,
    run: usize,
}

/// Visits all entries as rows. `runs` remembers what was sorted; it belongs to this batch alone.
pub(super) fn pack(
    ids: &mut Tentative,
    runs: &mut Option<Runs>,
    spill: &mut dyn SpillStore,
    f: &mut TakeRow<'_>,
) -> Result<(), DedupError> {
    pack_in_runs_of(RUN, ids, runs, spill, f)
}

fn pack_in_runs_of(
    run: usize,
    ids: &mut Tentative,
    runs: &mut Option<Runs>,
    spill: &mut dyn SpillStore,
    f: &mut TakeRow<'_>,
) -> Result<(), DedupError> {
    let sorted = match runs {
        Some(sorted) => *sorted,
        None => *runs.insert(sort_into_spill(run, ids, spill)?),
    };
    let mut rows = RowWriter::new(f);
    merge(sorted, spill, &mut rows)?;
    rows.finish()
}

/// Fills `bytes` with the entries from `first` on, sorted, and returns how many bytes they are.
fn sort_run(
    ids: &Tentative,
    first: u32,
    bytes: &mut [u8],
    spill: &mut dyn SpillStore,
) -> Result<usize, DedupError> {
    let length = ids.read(spill, first, bytes)?;
    if let Some(read) = bytes.get_mut(..length) {
        read.as_chunks_mut::<RECORD>().0.sort_unstable();
    }
    Ok(length)
}

fn sort_into_spill(run: usize, ids: &mut Tentative, spill: &mut dyn SpillStore) -> Result<Runs, DedupError> {
    // All entries first, so that the runs lie behind them.
    ids.flush(spill)?;
    let mut bytes = vec![0; run.min(ids.len() as usize) * RECORD];
    let mut sorted = Runs { offset: 0, entries: u64::from(ids.len()), run };
    for (n, first) in (0..ids.len()).step_by(run).enumerate() {
        let length = sort_run(ids, first, &mut bytes, spill)?;
        let offset = spill.append(bytes.get(..length).unwrap_or_default()).map_err(DedupError::Spill)?;
        if n == 0 {
            sorted.offset = offset;
        }
    }
    Ok(sorted)
}

fn merge(sorted: Runs, spill: &mut dyn SpillStore, rows: &mut RowWriter<'_, '_>) -> Result<(), DedupError> {
    let run = sorted.run as u64;
    let mut readers = Vec::new();
    let mut heads = BinaryHeap::new();
    for first in (0..sorted.entries).step_by(sorted.run) {
        let mut reader = RunReader::new(&sorted, first, (first + run).min(sorted.entries));
        if let Some(record) = reader.next(spill)? {
            heads.push(Reverse((record, readers.len())));
        }
        readers.push(reader);
    }
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((record, from)) = &*head;
        rows.push(record)?;
        let next = match readers.get_mut(*from) {
            Some(reader) => reader.next(spill)?.map(|next| Reverse((next, *from))),
            None => None,
        };
        match next {
            Some(next) => *head = next,
            None => drop(PeekMut::pop(head)),
        }
    }
    Ok(())
}

/// Reads one sorted run piece by piece.
struct RunReader {
    next: u64,
    end: u64,
    piece: Vec<u8>,
    at: usize,
}

impl RunReader {
    fn new(sorted: &Runs, first: u64, last: u64) -> Self {
        let offset = |entry: u64| sorted.offset + entry * RECORD as u64;
        Self { next: offset(first), end: offset(last), piece: Vec::new(), at: 0 }
    }

    fn next(&mut self, spill: &mut dyn SpillStore) -> Result<Option<[u8; RECORD]>, DedupError> {
        if self.at >= self.piece.len() {
            let length = (self.end - self.next).min((AHEAD * RECORD) as u64) as usize;
            if length == 0 {
                return Ok(None);
            }
            self.piece.resize(length, 0);
            spill.read_at(self.next, &mut self.piece).map_err(DedupError::Spill)?;
            self.next += length as u64;
            self.at = 0;
        }
        let record = self.piece.get(self.at..).and_then(|rest| rest.first_chunk::<RECORD>()).copied();
        self.at += RECORD;
        Ok(record)
    }
}

/// Cuts sorted records into rows.
struct RowWriter<'f, 'a> {
    f: &'f mut TakeRow<'a>,
    segment: Option<SegmentKey>,
    row: Vec<u8>,
}

impl<'f, 'a> RowWriter<'f, 'a> {
    fn new(f: &'f mut TakeRow<'a>) -> Self {
        Self { f, segment: None, row: Vec::new() }
    }

    fn push(&mut self, record: &[u8; RECORD]) -> Result<(), DedupError> {
        let damaged = || DedupError::Spill("a tentative entry reads back damaged".into());
        let (segment, entry) = record.split_first_chunk::<SEGMENT_KEY_LEN>().ok_or_else(damaged)?;
        let segment = SegmentKey::from_bytes(segment).ok_or_else(damaged)?;
        if self.segment != Some(segment) || self.row.len() >= MAX_ROW * ENTRY_LEN {
            self.emit()?;
            self.segment = Some(segment);
        }
        self.row.extend_from_slice(entry);
        Ok(())
    }

    fn emit(&mut self) -> Result<(), DedupError> {
        if let Some(segment) = self.segment
            && !self.row.is_empty()
        {
            (self.f)(segment, &self.row).map_err(DedupError::Output)?;
            self.row.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), DedupError> {
        self.emit()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::{Entry, entries, is_sorted_row};
    use super::super::identity::Identity;
    use super::super::segment::Slot;
    use super::super::stores::MemorySpill;
    use super::super::tentative::Seen;
    use super::*;

    fn segment(n: i64) -> SegmentKey {
        SegmentKey { account: "111122223333".parse().unwrap(), slot: Slot::Event(n) }
    }

    /// All rows, flattened, with their lengths checked.
    fn rows_of(
        run: usize,
        ids: &mut Tentative,
        runs: &mut Option<Runs>,
        spill: &mut MemorySpill,
    ) -> Vec<(SegmentKey, Entry)> {
        let mut all = Vec::new();
        pack_in_runs_of(run, ids, runs, spill, &mut |segment, row| {
            assert!(is_sorted_row(row));
            all.extend(entries(row).map(|entry| (segment, entry)));
            Ok(())
        })
        .unwrap();
        all
    }

    proptest! {
        #[test]
        fn runs_of_any_length_give_the_same_rows(
            list in prop::collection::vec((0..4_i64, any::<u128>(), any::<u128>()), 0..300), run in 1..50_usize
        ) {
            let (mut spill, mut ids) = (MemorySpill::default(), Tentative::default());
            spill.append(b"another batch's leavings").unwrap();
            let mut expected = Vec::new();
            for (n, (at, id, content)) in list.into_iter().enumerate() {
                let entry = Entry { identity: Identity { id, content }, object: 0, record: n as u32 };
                ids.add(&mut spill, segment(at), entry, Seen::Never).unwrap();
                expected.push((segment(at), entry));
            }
            expected.sort();
            let mut runs = None;
            prop_assert_eq!(&rows_of(run, &mut ids, &mut runs, &mut spill), &expected);
            prop_assert_eq!(&rows_of(run, &mut ids, &mut runs, &mut spill), &expected);
            prop_assert_eq!(&rows_of(RUN, &mut ids, &mut None, &mut spill), &expected);
        }
    }

    #[test]
    fn a_large_segment_is_cut_into_rows() {
        let (mut spill, mut ids) = (MemorySpill::default(), Tentative::default());
        for n in 0..10_000_u32 {
            let entry = Entry {
                identity: Identity { id: u128::from(n).reverse_bits(), content: 0 },
                object: 0,
                record: n,
            };
            ids.add(&mut spill, segment(0), entry, Seen::Never).unwrap();
        }
        let mut lengths = Vec::new();
        pack(&mut ids, &mut None, &mut spill, &mut |_, row| {
            lengths.push(row.len() / ENTRY_LEN);
            Ok(())
        })
        .unwrap();
        assert_eq!(lengths, [4_096, 4_096, 10_000 - 2 * 4_096]);
    }
}
