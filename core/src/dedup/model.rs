//! The window against a naive model: random copies, conflicts, times, segments, budgets, re-shards, commits
//! and voids. Whatever is kept in memory or not, the decisions must be those of a list that is searched from
//! end to end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::entry::{ENTRY_LEN, Entry, entries};
use super::error::BoxError;
use super::segment::Slot;
use super::*;
use crate::model::{BatchId, LaneId};

const WINDOW: u32 = 1_000;
const STAMP: i64 = 1_700_000_000;

type CommittedRow = (BatchId, i64, Vec<u8>);

/// A ledger as simple as can be: rows by segment and shard.
#[derive(Default)]
struct Ledger {
    bits: BTreeMap<SegmentKey, u8>,
    rows: BTreeMap<(SegmentKey, u16), Vec<CommittedRow>>,
    reads: BTreeMap<(SegmentKey, u16), u32>,
}

impl Ledger {
    fn commit(&mut self, batch: BatchId, at: i64, segment: SegmentKey, row: &[u8]) {
        let bits = self.bits.get(&segment).copied().unwrap_or(0);
        for shard in row.as_chunks::<ENTRY_LEN>().0.chunk_by(|a, b| shard_at(a, bits) == shard_at(b, bits)) {
            let place = (segment, shard_at(&shard[0], bits));
            self.rows.entry(place).or_default().push((batch, at, shard.concat()));
        }
    }

    fn reshard(&mut self, segment: SegmentKey, bits: u8) {
        let old: Vec<_> = self.rows.keys().filter(|(s, _)| *s == segment).copied().collect();
        let rows: Vec<_> = old.iter().flat_map(|key| self.rows.remove(key).unwrap()).collect();
        self.bits.insert(segment, bits);
        for (batch, at, row) in rows {
            self.commit(batch, at, segment, &row);
        }
    }
}

impl Ledger {
    /// Drops the segments whose last commit is older than `before`; they begin again uncut.
    fn expire(&mut self, before: i64) {
        let live: BTreeSet<SegmentKey> = self
            .rows
            .iter()
            .filter(|(_, rows)| rows.iter().any(|(_, at, _)| *at >= before))
            .map(|((segment, _), _)| *segment)
            .collect();
        self.rows.retain(|(segment, _), _| live.contains(segment));
        self.bits.retain(|segment, _| live.contains(segment));
    }
}

fn shard_at(packed: &[u8; ENTRY_LEN], bits: u8) -> u16 {
    shard_of(Entry::from_bytes(packed).identity.id, bits)
}

impl CommittedIds for Ledger {
    fn shard_bits(&mut self, segment: SegmentKey) -> Result<u8, BoxError> {
        Ok(self.bits.get(&segment).copied().unwrap_or(0))
    }

    fn rows(
        &mut self,
        segment: SegmentKey,
        shard: u16,
        f: &mut dyn FnMut(BatchId, i64, &[u8]),
    ) -> Result<(), BoxError> {
        *self.reads.entry((segment, shard)).or_default() += 1;
        for (batch, at, row) in self.rows.get(&(segment, shard)).into_iter().flatten() {
            f(*batch, *at, row);
        }
        Ok(())
    }
}

/// Everything that was ever delivered, in order.
#[derive(Default)]
struct Model {
    committed: Vec<(SegmentKey, Entry, BatchId, i64)>,
    tentative: Vec<(SegmentKey, Entry)>,
}

impl Model {
    fn decide(&mut self, batch: BatchId, now: i64, candidate: &Candidate) -> Decision {
        let Candidate { place, identity, object, record } = *candidate;
        let segments: Vec<SegmentKey> = place.segments().collect();
        let live = || {
            self.committed
                .iter()
                .filter(|(segment, _, _, at)| segments.contains(segment) && at + i64::from(WINDOW) >= now)
        };
        let twin = live()
            .filter(|(_, e, _, _)| e.identity == identity)
            .max_by_key(|(_, e, b, at)| (*at, *b, e.object, e.record));
        if let Some((_, entry, batch, _)) = twin {
            return Decision::Duplicate {
                winner: Winner { batch: *batch, object: entry.object, record: entry.record },
            };
        }
        if let Some((_, entry)) = self.tentative.iter().find(|(_, entry)| entry.identity == identity) {
            return Decision::Duplicate {
                winner: Winner { batch, object: entry.object, record: entry.record },
            };
        }
        let conflict = live().any(|(_, entry, _, _)| entry.identity.id == identity.id)
            || self.tentative.iter().any(|(_, entry)| entry.identity.id == identity.id);
        self.tentative.push((place.home(), Entry { identity, object, record }));
        Decision::Unique { conflict }
    }
}

#[derive(Debug, Clone)]
enum Action {
    Decide(Vec<Candidate>),
    Commit,
    Void,
    Wait(i64),
    Reshard(usize, u8),
    Expire,
    ForgetAll,
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let time = prop_oneof![
        8 => (0..3_i64).prop_map(|n| Some(STAMP - n * 600)),
        1 => Just(None),
        1 => (-2..2_i64).prop_map(|n| Some(STAMP - 31 * 86_400 + n * 40_000)),
        1 => (-2..4_i64).prop_map(|n| Some(STAMP + 3_600 + n * 1_500)),
    ];
    // Few ids in every shard, and few contents, so that all kinds of meetings happen.
    (0..2_u64, time, -1..2_i64, 0..12_u128, 0..3_u128).prop_map(|(account, event_time, day, id, content)| {
        let stamp = STAMP + day * 30_000;
        Candidate {
            place: Place {
                account: crate::model::AccountId::from_u64(account).unwrap(),
                event_time,
                stamp,
                day: i32::try_from(stamp.div_euclid(86_400)).unwrap(),
            },
            // The account is part of an id's hash.
            identity: Identity { id: (id << 124) | u128::from(account), content },
            object: 0,
            record: 0,
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => prop::collection::vec(candidate(), 1..40).prop_map(Action::Decide),
        3 => Just(Action::Commit),
        1 => Just(Action::Void),
        2 => (0..700_i64).prop_map(Action::Wait),
        1 => (any::<usize>(), 0..5_u8).prop_map(|(which, bits)| Action::Reshard(which, bits)),
        1 => Just(Action::Expire),
        1 => Just(Action::ForgetAll),
    ]
}

struct Run {
    window: Window,
    ledger: Ledger,
    spill: MemorySpill,
    model: Model,
    now: i64,
    batch: BatchId,
    record: u32,
}

impl Run {
    fn new(budget: usize) -> Self {
        Self {
            window: Window::new(budget, WINDOW),
            ledger: Ledger::default(),
            spill: MemorySpill::default(),
            model: Model::default(),
            now: STAMP,
            batch: BatchId { lane: LaneId(1), epoch: 1, batch: 1 },
            record: 0,
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Decide(list) => self.decide(list),
            Action::Commit => self.commit(),
            Action::Void => {
                self.window.void(&mut self.spill).unwrap();
                self.model.tentative.clear();
                self.batch.batch += 1;
            }
            Action::Wait(seconds) => self.now += seconds,
            Action::Reshard(which, bits) => {
                let segments: BTreeSet<SegmentKey> =
                    self.ledger.rows.keys().map(|(segment, _)| *segment).collect();
                if let Some(segment) = segments.iter().nth(which % segments.len().max(1)) {
                    self.ledger.reshard(*segment, bits);
                }
            }
            Action::Expire => self.ledger.expire(self.now - i64::from(WINDOW)),
            Action::ForgetAll => {
                for (segment, _) in self.ledger.rows.keys() {
                    self.window.forget(*segment);
                }
            }
        }
    }

    fn decide(&mut self, mut list: Vec<Candidate>) {
        for candidate in &mut list {
            candidate.record = self.record;
            self.record += 1;
        }
        self.ledger.reads.clear();
        let mut out = Vec::new();
        self.window
            .decide(self.batch, self.now, list.iter().copied(), &mut self.ledger, &mut self.spill, &mut out)
            .unwrap();
        let expected: Vec<_> = list.iter().map(|c| self.model.decide(self.batch, self.now, c)).collect();
        assert_eq!(out, expected);
        // Reading a unit twice is allowed only when it turns out too large to keep.
        assert!(self.ledger.reads.values().all(|reads| *reads <= 2), "{:?}", self.ledger.reads);
    }

    fn commit(&mut self) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for list in [&mut first, &mut second] {
            self.window
                .rows(&mut self.spill, &mut |segment, row| {
                    list.push((segment, row.to_vec()));
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(first, second);
        let packed: Vec<_> =
            first.iter().flat_map(|(segment, row)| entries(row).map(|e| (*segment, e))).collect();
        let mut expected = std::mem::take(&mut self.model.tentative);
        expected.sort();
        assert_eq!(packed, expected);

        let (batch, at) = (self.batch, self.now);
        self.model.committed.extend(expected.into_iter().map(|(segment, entry)| (segment, entry, batch, at)));
        // The ledger gets what the index file says: rebuilding it from the archive is the same thing.
        let mut file = Vec::new();
        let mut encoder = IndexEncoder::new(batch, &mut file);
        for (segment, row) in first {
            encoder.row(segment, &row, &mut file);
        }
        encoder.finish(&mut file);
        let (mut decoder, ledger) = (IndexDecoder::new(), &mut self.ledger);
        let mut take = |segment: SegmentKey, row: &[u8]| {
            ledger.commit(batch, at, segment, row);
            Ok(())
        };
        decoder.feed(&file, &mut take).unwrap();
        assert_eq!(decoder.finish().unwrap().entries, packed.len() as u64);
        self.window.commit(&mut self.spill, at).unwrap();
        self.batch.batch += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_window_decides_like_a_list(
        budget in prop_oneof![Just(0_usize), Just(2_000), Just(5_000), Just(1_000_000)],
        actions in prop::collection::vec(action(), 1..40)
    ) {
        let mut run = Run::new(budget);
        for action in actions {
            run.apply(action);
            prop_assert!(run.window.stats().hot_bytes <= budget);
        }
    }
}

fn plain(id: u128, content: u128, record: u32) -> Candidate {
    let place = Place {
        account: "111122223333".parse().unwrap(),
        event_time: Some(STAMP),
        stamp: STAMP,
        day: 19_675,
    };
    Candidate { place, identity: Identity { id, content }, object: 0, record }
}

#[test]
fn a_planted_id_suppresses_nothing() {
    let mut run = Run::new(1_000_000);
    run.decide(vec![plain(1, 666, 0)]);
    run.commit();
    let mut out = Vec::new();
    let list = [plain(1, 1, 0), plain(1, 1, 1), plain(1, 666, 2)];
    run.window
        .decide(run.batch, run.now, list.into_iter(), &mut run.ledger, &mut run.spill, &mut out)
        .unwrap();
    assert_eq!(out[0], Decision::Unique { conflict: true });
    let winner = |batch, record| Decision::Duplicate { winner: Winner { batch, object: 0, record } };
    assert_eq!(out[1], winner(run.batch, 0));
    assert_eq!(out[2], winner(BatchId { batch: 1, ..run.batch }, 0));
}

#[test]
fn a_duplicate_does_not_prolong_the_window() {
    let mut run = Run::new(1_000_000);
    for wait in [0, 600, 400, 1] {
        run.now += wait;
        run.decide(vec![plain(1, 1, 0)]);
        run.commit();
    }
    assert_eq!(run.model.committed.len(), 2, "delivered at 0 and at 1001, not at 600 and 1000");
}

#[test]
fn batches_do_not_mix_and_a_packed_one_is_closed() {
    let mut run = Run::new(0);
    run.decide(vec![plain(1, 1, 0)]);
    let next = BatchId { batch: 2, ..run.batch };
    let decide = |run: &mut Run, batch| {
        run.window.decide(
            batch,
            0,
            std::iter::once(plain(2, 2, 1)),
            &mut run.ledger,
            &mut run.spill,
            &mut Vec::new(),
        )
    };
    assert!(matches!(decide(&mut run, next), Err(DedupError::OtherBatch { .. })));
    run.window.rows(&mut run.spill, &mut |_, _| Ok(())).unwrap();
    let batch = run.batch;
    assert!(matches!(decide(&mut run, batch), Err(DedupError::Sealed(_))));
    run.window.void(&mut run.spill).unwrap();
    decide(&mut run, next).unwrap();
}

#[test]
fn a_failing_ledger_names_the_segment() {
    struct Broken;
    impl CommittedIds for Broken {
        fn shard_bits(&mut self, _: SegmentKey) -> Result<u8, BoxError> {
            Ok(0)
        }
        fn rows(
            &mut self,
            _: SegmentKey,
            _: u16,
            f: &mut dyn FnMut(BatchId, i64, &[u8]),
        ) -> Result<(), BoxError> {
            f(BatchId { lane: LaneId(0), epoch: 1, batch: 1 }, STAMP, &[0; ENTRY_LEN + 1]);
            Ok(())
        }
    }
    for budget in [0, 1_000_000] {
        let mut run = Run::new(budget);
        let list = std::iter::once(plain(1, 1, 0));
        let error = run
            .window
            .decide(run.batch, STAMP, list, &mut Broken, &mut run.spill, &mut Vec::new())
            .unwrap_err();
        let slot = Slot::Event(STAMP / 600);
        assert!(matches!(error, DedupError::CorruptRow { segment } if segment.slot == slot), "{error}");
    }
}
