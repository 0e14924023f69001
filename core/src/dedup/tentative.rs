//! The ids of the batch that is being made: not committed, so no ledger knows them yet.
//!
//! In: entries in list order. Out: twins within the batch, and all entries for packing.
//!
//! Full entries go to the scratch space, [`RECORD`] bytes each, and memory holds eight bytes per id: forty
//! bits of its hash and the entry's number, in sixteen open-addressing tables that grow on their own by half
//! (so that growing never doubles the memory): 10 to 16 bytes per id. What the hash bits say is checked
//! against the entry. As in hot units, further contents of an id are found by id and content together.
//! At most [`MAX_BATCH_IDS`] ids: past that, and when the scratch space fails, the batch is over.

use super::entry::{ENTRY_LEN, Entry};
use super::error::{BoxError, DedupError};
use super::hot::pair_hash;
use super::identity::Identity;
use super::segment::{SEGMENT_KEY_LEN, SegmentKey};
use super::stores::SpillStore;

/// The most new ids of one batch: about 30 MiB of memory; a 1 GiB object has about 650,000 records.
pub const MAX_BATCH_IDS: u32 = 1 << 21;
/// Bytes of a spilled entry: segment key, then packed entry, so that byte order is (segment, id, content).
pub(super) const RECORD: usize = SEGMENT_KEY_LEN + ENTRY_LEN;
/// Entries wait here before they are appended: 1,149 of them, about 64 KiB.
const BUFFER: usize = 64 * 1024 / RECORD;

const TABLES: usize = 16;

/// What the batch itself knows of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The id is new to the batch.
    Never,
    /// The id was seen, with other content only.
    OtherContent,
    /// A record with the same id and content was seen: this one.
    Twin(Entry),
}

#[derive(Debug, Default)]
pub(super) struct Tentative {
    tables: [SubTable; TABLES],
    len: u32,
    /// Where the first entry lies in the scratch space.
    base: u64,
    /// Entries that are not in the scratch space yet: the last ones.
    buffer: Vec<u8>,
}

impl Tentative {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes of memory in use.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.capacity() + self.tables.iter().map(|table| table.slots.capacity() * 8).sum::<usize>()
    }

    /// Looks an identity up.
    pub(super) fn lookup(&self, spill: &mut dyn SpillStore, identity: Identity) -> Result<Seen, DedupError> {
        let is_of_id = |entry: &Entry| entry.identity.id == identity.id;
        let Some(first) = self.find(spill, id_print(identity), is_of_id)? else {
            return Ok(Seen::Never);
        };
        if first.identity.content == identity.content {
            return Ok(Seen::Twin(first));
        }
        let is_twin = |entry: &Entry| entry.identity == identity;
        Ok(self.find(spill, pair_print(identity), is_twin)?.map_or(Seen::OtherContent, Seen::Twin))
    }

    /// Adds an entry that [`Tentative::lookup`] did not know: `seen` is what it answered.
    pub(super) fn add(
        &mut self,
        spill: &mut dyn SpillStore,
        segment: SegmentKey,
        entry: Entry,
        seen: Seen,
    ) -> Result<(), DedupError> {
        if self.len >= MAX_BATCH_IDS {
            return Err(DedupError::TooManyIds { limit: MAX_BATCH_IDS });
        }
        let print = if seen == Seen::Never { id_print(entry.identity) } else { pair_print(entry.identity) };
        if self.buffer.len() >= BUFFER * RECORD {
            self.flush(spill)?;
        }
        self.buffer.extend_from_slice(&segment.to_bytes());
        self.buffer.extend_from_slice(&entry.to_bytes());
        if let Some(table) = self.tables.get_mut(print.table) {
            table.insert(print.bits, self.len);
        }
        self.len += 1;
        Ok(())
    }

    /// Reads spilled entries from `first` on into `into`, as many as fit, and returns how many bytes that is.
    pub(super) fn read(
        &self,
        spill: &mut dyn SpillStore,
        first: u32,
        into: &mut [u8],
    ) -> Result<usize, DedupError> {
        let wanted = u64::from(self.len.saturating_sub(first)) * RECORD as u64;
        let length = usize::try_from(wanted).unwrap_or(usize::MAX).min(into.len() / RECORD * RECORD);
        let from = u64::from(first) * RECORD as u64;
        let spilled = self.spilled();
        let in_spill = usize::try_from(spilled.saturating_sub(from)).unwrap_or(usize::MAX).min(length);
        let (head, rest) = into.split_at_mut(in_spill);
        if !head.is_empty() {
            spill.read_at(self.base + from, head).map_err(DedupError::Spill)?;
        }
        let tail = usize::try_from((from + in_spill as u64).saturating_sub(spilled)).unwrap_or(usize::MAX);
        let buffered = self.buffer.get(tail..).unwrap_or_default();
        for (byte, kept) in rest.iter_mut().zip(buffered).take(length - in_spill) {
            *byte = *kept;
        }
        Ok(length)
    }

    /// Writes what is buffered to the scratch space.
    pub(super) fn flush(&mut self, spill: &mut dyn SpillStore) -> Result<(), DedupError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let spilled = self.spilled();
        let offset = spill.append(&self.buffer).map_err(DedupError::Spill)?;
        if spilled == 0 {
            self.base = offset;
        } else if offset != self.base + spilled {
            let gap: BoxError = "appended bytes are not contiguous".into();
            return Err(DedupError::Spill(gap));
        }
        self.buffer.clear();
        Ok(())
    }

    fn spilled(&self) -> u64 {
        u64::from(self.len) * RECORD as u64 - self.buffer.len() as u64
    }

    /// The first entry under a print that is the wanted one.
    fn find(
        &self,
        spill: &mut dyn SpillStore,
        print: Print,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>, DedupError> {
        let Some(table) = self.tables.get(print.table) else { return Ok(None) };
        for number in table.candidates(print.bits) {
            let entry = self.entry(spill, number)?;
            if is_wanted(&entry) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn entry(&self, spill: &mut dyn SpillStore, number: u32) -> Result<Entry, DedupError> {
        let mut record = [0; RECORD];
        self.read(spill, number, &mut record)?;
        let packed = record.last_chunk::<ENTRY_LEN>().copied().unwrap_or([0; ENTRY_LEN]);
        Ok(Entry::from_bytes(&packed))
    }
}

/// The bits of a hash that the tables use: four choose the table, forty are kept.
#[derive(Clone, Copy)]
struct Print {
    table: usize,
    bits: u64,
}

const PRINT_BITS: u32 = 40;

fn print_of(hash: u64) -> Print {
    Print { table: (hash >> 60) as usize, bits: (hash >> (60 - PRINT_BITS)) & ((1 << PRINT_BITS) - 1) }
}

fn id_print(identity: Identity) -> Print {
    print_of((identity.id >> 64) as u64)
}

fn pair_print(identity: Identity) -> Print {
    print_of(pair_hash(identity))
}

/// Open addressing with linear probing. A slot is the print in the upper forty bits and the entry's number
/// plus one in the lower 24; 0 is an empty slot.
#[derive(Debug, Default)]
struct SubTable {
    slots: Vec<u64>,
    len: usize,
}

const NUMBER_BITS: u32 = 24;
const FIRST_SLOTS: usize = 64;

impl SubTable {
    /// The numbers of the entries with this print, in the order in which they were added.
    fn candidates(&self, print: u64) -> impl Iterator<Item = u32> {
        let start = self.start(print);
        let (before, after) = self.slots.split_at_checked(start).unwrap_or_default();
        let run = after.iter().chain(before).take_while(|slot| **slot != 0);
        run.filter(move |slot| **slot >> NUMBER_BITS == print)
            .map(|slot| (*slot as u32 & ((1 << NUMBER_BITS) - 1)).wrapping_sub(1))
    }

    fn insert(&mut self, print: u64, number: u32) {
        // At most four fifths full: runs stay short.
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.place((print << NUMBER_BITS) | u64::from(number + 1));
        self.len += 1;
    }

    fn grow(&mut self) {
        let size = (self.slots.len() + self.slots.len() / 2).max(FIRST_SLOTS);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            self.place(slot);
        }
    }

    fn place(&mut self, new: u64) {
        let start = self.start(new >> NUMBER_BITS);
        let (before, after) = self.slots.split_at_mut_checked(start).unwrap_or_default();
        if let Some(slot) = after.iter_mut().chain(before).find(|slot| **slot == 0) {
            *slot = new;
        }
    }

    /// Where the run of a print begins: its upper bits scaled to the table, which may have any size.
    fn start(&self, print: u64) -> usize {
        let scaled = u128::from(print) * self.slots.len() as u128;
        usize::try_from(scaled >> PRINT_BITS).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::segment::Slot;
    use super::super::stores::MemorySpill;
    use super::*;

    fn segment() -> SegmentKey {
        SegmentKey { account: "111122223333".parse().unwrap(), slot: Slot::Event(1) }
    }

    fn spread(n: u64) -> u128 {
        let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(x ^ (x >> 31)) << 64 | u128::from(n)
    }

    fn entry(id: u128, content: u128, record: u32) -> Entry {
        Entry { identity: Identity { id, content }, object: 1, record }
    }

    #[test]
    fn every_entry_is_found_and_no_other() {
        let (mut spill, mut ids) = (MemorySpill::default(), Tentative::default());
        let count = 50_000;
        for n in 0..count {
            let new = entry(spread(n), 9, n as u32);
            assert_eq!(ids.lookup(&mut spill, new.identity).unwrap(), Seen::Never);
            ids.add(&mut spill, segment(), new, Seen::Never).unwrap();
        }
        for n in 0..count {
            let known = entry(spread(n), 9, n as u32);
            assert_eq!(ids.lookup(&mut spill, known.identity).unwrap(), Seen::Twin(known));
            let other = Identity { id: spread(n), content: 8 };
            assert_eq!(ids.lookup(&mut spill, other).unwrap(), Seen::OtherContent);
        }
        let per_id = (ids.bytes() - BUFFER * RECORD) as f64 / count as f64;
        assert!((9.0..=17.0).contains(&per_id), "{per_id} bytes per id");
    }

    #[test]
    fn a_batch_is_full_at_the_cap_and_small_until_then() {
        let (mut spill, mut ids) = (MemorySpill::default(), Tentative::default());
        for n in 0..MAX_BATCH_IDS {
            ids.add(&mut spill, segment(), entry(spread(u64::from(n)), 0, n), Seen::Never).unwrap();
        }
        let one_more = ids.add(&mut spill, segment(), entry(1, 0, 0), Seen::Never);
        assert!(matches!(one_more, Err(DedupError::TooManyIds { limit: MAX_BATCH_IDS })));
        assert!(ids.bytes() <= 34 << 20, "{} bytes", ids.bytes());
        let last = u64::from(MAX_BATCH_IDS - 1);
        let known = ids.lookup(&mut spill, Identity { id: spread(last), content: 0 }).unwrap();
        assert_eq!(known, Seen::Twin(entry(spread(last), 0, MAX_BATCH_IDS - 1)));
    }

    #[test]
    fn one_id_with_very_many_contents_is_quick() {
        let (mut spill, mut ids) = (MemorySpill::default(), Tentative::default());
        for n in 0..100_000 {
            let new = entry(7, spread(n), n as u32);
            let seen = ids.lookup(&mut spill, new.identity).unwrap();
            assert_eq!(seen, if n == 0 { Seen::Never } else { Seen::OtherContent });
            ids.add(&mut spill, segment(), new, seen).unwrap();
        }
        assert_eq!(
            ids.lookup(&mut spill, Identity { id: 7, content: spread(77_777) }).unwrap(),
            Seen::Twin(entry(7, spread(77_777), 77_777))
        );
    }

    #[test]
    fn prints_that_collide_are_told_apart_by_the_entry() {
        let (mut spill, mut ids) = (MemorySpill::default(), Tentative::default());
        // The tables look at the upper 44 bits only.
        for n in 0..20 {
            ids.add(&mut spill, segment(), entry(u128::from(n), 0, n), Seen::Never).unwrap();
        }
        for n in 0..20 {
            let twin = entry(u128::from(n), 0, n);
            assert_eq!(ids.lookup(&mut spill, twin.identity).unwrap(), Seen::Twin(twin));
        }
        assert_eq!(ids.lookup(&mut spill, Identity { id: 20, content: 0 }).unwrap(), Seen::Never);
    }
}
