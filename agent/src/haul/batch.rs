//! One attempt at a batch: fetch ► mill ► sinks, up to an entry that is ready to be committed.
//!
//! In: an ordered list of objects of one lane. Out: a [`Prepared`] batch whose outputs are complete but
//! invisible, with the objects that were left out. Invariant: an object leaves a batch only before its first
//! record was decided about; after that its failure ends the attempt. Failure: the attempt is given up whole:
//! uploads are dropped, the mill forgets the batch, and the caller plans the objects again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use trailhaul_core::model::{
    AccountId, BatchEntry, BatchId, Books, LogKey, ObjectRef, Output, Role, SinkBooks, Verdict,
};

use super::compare::{self, Expectation, Expectations, Mismatch};
use super::fetch::{self, Fetched, Fetcher, Waiting};
use super::findings::FindingSink;
use super::index_file;
use super::mill::{Mill, MillError, Piece, SinkFrame, Step};
use super::tally::Tally;
use crate::archive::Layout;
use crate::runtime::CpuPool;
use crate::sinks::{FilePart, Frame, Sink, SinkBatch, SinkError, UploadTarget, UploadWriter};
use crate::store::{ErrorKind, ObjectStore, Patience, ReadError, StoreError};

/// What a lane needs for its attempts.
#[derive(Debug, Clone)]
pub struct Bench {
    /// Reads source objects.
    pub fetcher: Fetcher,
    /// The CPU pool.
    pub cpu: Arc<CpuPool>,
    /// The sinks, in the order of the mill's encoders.
    pub sinks: Arc<[Arc<dyn Sink>]>,
    /// Those that get findings.
    pub findings: Arc<[FindingSink]>,
    /// The home archive's store.
    pub home: Arc<dyn ObjectStore>,
    /// The home archive's keys.
    pub layout: Layout,
    /// How calls are repeated.
    pub patience: Patience,
    /// When a batch takes no further object.
    pub limits: BatchLimits,
    /// Whether a batch reads the objects of one account and region together: a sink makes files of them.
    pub grouped: bool,
    /// What the journal notes of each sink that does not get everything raw.
    pub settings: Arc<BTreeMap<String, String>>,
}

/// About what a file of a sink takes in the journal entry: names, upload id, hash.
const FILE_ENTRY: usize = 800;

/// When a batch takes no further object.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Inflated bytes.
    pub inflated: u64,
    /// New records, whose ids are tentative until the commit.
    pub ids: u32,
    /// Bytes of the journal entry.
    pub entry: usize,
    /// Inflated bytes of one object that is compared with its digest.
    pub log: u64,
}

/// A batch that is ready to be committed.
#[derive(Debug)]
pub struct Prepared {
    /// The entry's body.
    pub entry: BatchEntry,
    /// Objects that could not be read, with the reason; none of their records was looked at.
    pub deferred: Vec<(ObjectRef, ReadError)>,
    /// Objects that the batch had no room for.
    pub left: Vec<ObjectRef>,
}

/// Why an attempt was given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// An object failed after records of it had been decided about: it is tried again in a batch of its own.
    #[error("read object {object}")]
    Source {
        /// The object.
        object: Box<ObjectRef>,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A sink failed.
    #[error("sink {sink}")]
    Sink {
        /// The sink's name.
        sink: String,
        /// Why.
        #[source]
        source: SinkError,
    },
    /// The mill failed.
    #[error(transparent)]
    Mill(#[from] MillError),
    /// The CPU pool is stopping, or work on it panicked: the lane cannot go on.
    #[error("the mill is gone: {0}")]
    Gone(String),
}

/// The outputs of an attempt.
struct Outputs {
    sinks: Vec<(String, Box<dyn SinkBatch>)>,
    /// What each sink refused, in the order of the sinks.
    refused: Vec<UploadWriter>,
    quarantine: UploadWriter,
    index: UploadWriter,
}

impl Bench {
    /// Runs an attempt. The mill comes back in `mill` unless it is gone.
    pub async fn attempt(
        &self,
        mill: &mut Option<Box<Mill>>,
        batch: BatchId,
        partition: &str,
        objects: (Vec<ObjectRef>, &Expectations),
    ) -> Result<Prepared, AttemptError> {
        let mut outputs = self.open(batch, partition).await?;
        let attempt = self.run(mill, batch, partition, objects, &mut outputs).await;
        if attempt.is_err() {
            outputs.abort().await;
        }
        attempt
    }

    async fn run(
        &self,
        mill: &mut Option<Box<Mill>>,
        batch: BatchId,
        partition: &str,
        (objects, expected): (Vec<ObjectRef>, &Expectations),
        outputs: &mut Outputs,
    ) -> Result<Prepared, AttemptError> {
        let mut deferred = Vec::new();
        let objects = if self.grouped { group_by_place(objects) } else { objects };
        let waiting = Waiting::new(objects);
        let mut fetched = Box::pin(self.fetcher.objects(&waiting));
        while let Some(next) = fetched.next().await {
            let next = self.compared(next, expected, mill).await?;
            self.take(mill, next, &mut deferred, outputs).await?;
            self.take_ready(mill, (&mut fetched, expected), &mut deferred, outputs).await?;
            self.work(mill, outputs).await?;
            if mill.as_mut().is_none_or(|mill| self.is_full(mill)) {
                break;
            }
        }
        let mut left = waiting.take();
        while let Some(rest) = fetched.next().await {
            left.push(rest.object().clone());
        }
        drop(fetched);
        let step = self.on_cpu(mill, Mill::drain).await?;
        outputs.take(step, mill).await?;
        let (tallies, left_out) = mill.as_mut().map(|mill| mill.finish()).unwrap_or_default();
        if let Some(object) = compare::changed(tallies.iter().map(|tally| &tally.entry), expected) {
            return Err(changed(object));
        }
        let entry = self.prepare(mill, batch, partition, tallies, left_out, outputs).await?;
        Ok(Prepared { entry, deferred, left })
    }

    fn is_full(&self, mill: &mut Mill) -> bool {
        /// No log compresses forty-fold: from so many bytes on such a batch is cut short, because the others of
        /// the lane wait for it. Its account is charged for them, and comes last.
        const BOMB: (u64, u64) = (128 << 20, 40);
        let inflated = mill.inflated();
        let (files, is_full_of_files) = mill.files();
        inflated >= self.limits.inflated
            || (inflated >= BOMB.0 && inflated / BOMB.1 > mill.stored())
            || mill.window.tentative_ids() >= self.limits.ids
            || is_full_of_files
            || mill.entry_bytes() + files as usize * FILE_ENTRY >= self.limits.entry
    }

    /// Compares a small object with what its digest expects, before anything looks at its records. One whose content
    /// is another is taken into the batch as such, and `None` comes back.
    async fn compared(
        &self,
        fetched: Fetched,
        expected: &Expectations,
        mill: &mut Option<Box<Mill>>,
    ) -> Result<Option<(Fetched, Verdict)>, AttemptError> {
        let hash = match expected.get(fetched.object()) {
            None => return Ok(Some((fetched, Verdict::Pending))),
            Some(Expectation::Met(_)) => return Ok(Some((fetched, Verdict::Verified))),
            Some(Expectation::Hash(hash)) => *hash,
        };
        let (object, bytes) = match fetched {
            Fetched::Failed(..) => return Ok(Some((fetched, Verdict::Pending))),
            Fetched::Whole(object, bytes) => (object, bytes),
            // It is small, and came in more than one piece.
            Fetched::Large(object, first, mut rest) => {
                let mut bytes = first.to_vec();
                loop {
                    match rest.next().await {
                        Ok(Some(piece)) if (bytes.len() + piece.len()) as u64 <= object.size => {
                            bytes.extend_from_slice(&piece);
                        }
                        Ok(Some(_)) => {
                            let error = fetch::longer(&object);
                            return Ok(Some((Fetched::Failed(object, error), Verdict::Pending)));
                        }
                        Ok(None) => break (object, Bytes::from(bytes)),
                        Err(error) => {
                            return Ok(Some((Fetched::Failed(object, error), Verdict::Pending)));
                        }
                    }
                }
            }
        };
        let (cap, look) = (self.limits.log, bytes.clone());
        let content = self.cpu.run(move || compare::content_of(&look, cap)).await;
        let content = content.map_err(|error| AttemptError::Gone(error.to_string()))?;
        if compare::matches(&content, hash) {
            return Ok(Some((Fetched::Whole(object, bytes), Verdict::Verified)));
        }
        let Some(open) = mill.as_mut() else { return Err(gone()) };
        open.add_mismatch(&Mismatch { object, expected: hash, content });
        Ok(None)
    }

    /// Takes a fetched object into the batch. A large one is worked on here, piece by piece.
    async fn take(
        &self,
        mill: &mut Option<Box<Mill>>,
        fetched: Option<(Fetched, Verdict)>,
        deferred: &mut Vec<(ObjectRef, ReadError)>,
        outputs: &mut Outputs,
    ) -> Result<(), AttemptError> {
        let Some((fetched, verdict)) = fetched else { return Ok(()) };
        let Some(open) = mill.as_mut() else { return Err(gone()) };
        match fetched {
            Fetched::Failed(object, error) => deferred.push((object, error)),
            Fetched::Whole(object, bytes) => {
                let object = open.add(object);
                open.judge(object, verdict);
                open.feed(Piece { object, bytes, last: true });
            }
            Fetched::Large(object, first, mut rest) => {
                let index = open.add(object.clone());
                open.judge(index, verdict);
                open.feed(Piece { object: index, bytes: first, last: false });
                self.work(mill, outputs).await?;
                loop {
                    let piece = rest.next().await.map_err(|source| AttemptError::Source {
                        object: Box::new(object.clone()),
                        source,
                    })?;
                    let last = piece.is_none();
                    let Some(open) = mill.as_mut() else { return Err(gone()) };
                    open.feed(Piece { object: index, bytes: piece.unwrap_or_default(), last });
                    self.work(mill, outputs).await?;
                    if last {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes small objects that are there already, so that the CPU pool is asked once for many.
    async fn take_ready(
        &self,
        mill: &mut Option<Box<Mill>>,
        (fetched, expected): (&mut (impl Stream<Item = Fetched> + Unpin), &Expectations),
        deferred: &mut Vec<(ObjectRef, ReadError)>,
        outputs: &mut Outputs,
    ) -> Result<(), AttemptError> {
        /// Some dozen small objects: worth a hop to the pool.
        const READY: usize = 64;
        /// Stored bytes. They may inflate a thousandfold before the batch is looked at again.
        const BYTES: u64 = 128 * 1024;
        let mut bytes = 0;
        for _ in 0..READY {
            if bytes >= BYTES {
                break;
            }
            match fetched.next().now_or_never() {
                Some(Some(next)) => {
                    bytes += next.object().size;
                    let next = self.compared(next, expected, mill).await?;
                    self.take(mill, next, deferred, outputs).await?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Lets the mill use up its pieces.
    async fn work(&self, mill: &mut Option<Box<Mill>>, outputs: &mut Outputs) -> Result<(), AttemptError> {
        loop {
            let step: Step = self.on_cpu(mill, Mill::step).await?;
            let more = step.more;
            outputs.take(step, mill).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Moves the mill to the CPU pool and back.
    async fn on_cpu<T: Send + 'static>(
        &self,
        slot: &mut Option<Box<Mill>>,
        work: impl FnOnce(&mut Mill) -> Result<T, MillError> + Send + 'static,
    ) -> Result<T, AttemptError> {
        let mut mill = slot.take().ok_or_else(gone)?;
        let done = self
            .cpu
            .run(move || {
                let result = work(&mut mill);
                (mill, result)
            })
            .await;
        let (mill, result) = done.map_err(|error| AttemptError::Gone(error.to_string()))?;
        *slot = Some(mill);
        Ok(result?)
    }

    async fn open(&self, batch: BatchId, partition: &str) -> Result<Outputs, AttemptError> {
        let mut sinks = Vec::with_capacity(self.sinks.len());
        for sink in self.sinks.iter() {
            let open = sink.open(batch, partition).await;
            let open = open.map_err(|source| AttemptError::Sink { sink: sink.name().to_owned(), source })?;
            sinks.push((sink.name().to_owned(), open));
        }
        let home = |role, key, content_type| {
            UploadWriter::new(UploadTarget {
                store: Arc::clone(&self.home),
                key,
                role,
                sink: "home".to_owned(),
                content_type,
                patience: self.patience.clone(),
            })
        };
        const NDJSON: &str = "application/x-ndjson";
        let refused = sinks
            .iter()
            .map(|(name, _)| home(Role::Quarantine, self.layout.refused(name, partition, batch), NDJSON))
            .collect();
        Ok(Outputs {
            sinks,
            refused,
            quarantine: home(Role::Quarantine, self.layout.quarantine(partition, batch), NDJSON),
            index: home(Role::Index, self.layout.index(batch), "application/octet-stream"),
        })
    }

    /// Makes every output durable and draws up the entry.
    async fn prepare(
        &self,
        mill: &mut Option<Box<Mill>>,
        batch: BatchId,
        partition: &str,
        tallies: Vec<Tally>,
        left_out: Vec<SinkBooks>,
        outputs: &mut Outputs,
    ) -> Result<BatchEntry, AttemptError> {
        let objects: Vec<_> = tallies.into_iter().map(|tally| tally.entry).collect();
        let mut books = Books::default();
        for object in &objects {
            books.records += object.records;
            books.unique += object.unique;
            books.duplicates += object.duplicates;
            books.quarantined += object.quarantined;
            books.conflicts += object.conflicting;
        }
        if books.unique > 0 {
            let taken = mill.take().ok_or_else(gone)?;
            let written = index_file::write(taken, batch, &mut outputs.index).await;
            *mill = Some(written.map_err(|source| AttemptError::Sink { sink: "home".to_owned(), source })?);
        }
        let prepared = outputs.prepare().await?;
        for ((name, _), left_out) in outputs.sinks.iter().zip(left_out) {
            let delivered = prepared
                .iter()
                .filter(|output| output.sink == *name && matches!(output.role, Role::Data | Role::Sink))
                .map(|output| output.records)
                .sum();
            books.sinks.insert(name.clone(), SinkBooks { delivered, ..left_out });
        }
        let settings = self.settings.as_ref().clone();
        Ok(BatchEntry { batch, prefix: partition.to_owned(), outputs: prepared, objects, books, settings })
    }
}

impl Outputs {
    async fn take(&mut self, step: Step, mill: &mut Option<Box<Mill>>) -> Result<(), AttemptError> {
        let refused = self.write(step.frames, mill).await?;
        self.quarantine(&step.quarantine).await?;
        for (sink, lines) in step.refused.into_iter().chain(refused) {
            if let Some(writer) = self.refused.get_mut(sink) {
                let written = writer.write(&lines, count_lines(&lines)).await;
                written.map_err(|source| AttemptError::Sink { sink: "home".to_owned(), source })?;
            }
        }
        Ok(())
    }

    /// Writes each sink's frame; returns lines about the records that a sink can never take.
    async fn write(
        &mut self,
        frames: Vec<SinkFrame>,
        mill: &mut Option<Box<Mill>>,
    ) -> Result<Vec<(usize, Vec<u8>)>, AttemptError> {
        let mut refused = Vec::new();
        for (index, ((name, sink), made)) in self.sinks.iter_mut().zip(frames).enumerate() {
            for piece in made.files {
                let file = Some(FilePart { name: piece.file, last: piece.last });
                let (bytes, keys) = (Bytes::from(piece.bytes), Vec::new());
                let written = sink.write(Frame { bytes, records: piece.records, keys, file }).await;
                written.map_err(|source| AttemptError::Sink { sink: name.clone(), source })?;
            }
            if made.frame.records == 0 {
                continue;
            }
            let frame = Frame {
                bytes: Bytes::from(made.frame.bytes),
                records: u64::from(made.frame.records),
                keys: made.keys,
                file: None,
            };
            let written = sink.write(frame).await;
            let left = written.map_err(|source| AttemptError::Sink { sink: name.clone(), source })?;
            let mut lines = Vec::new();
            for record in left {
                if let (Some(mill), Some(origin)) = (mill.as_mut(), made.origins.get(record.place)) {
                    mill.refuse(index, *origin, &record.reason, &mut lines);
                }
            }
            if !lines.is_empty() {
                refused.push((index, lines));
            }
        }
        Ok(refused)
    }

    async fn quarantine(&mut self, lines: &[u8]) -> Result<(), AttemptError> {
        if lines.is_empty() {
            return Ok(());
        }
        let count = count_lines(lines);
        self.quarantine
            .write(lines, count)
            .await
            .map_err(|source| AttemptError::Sink { sink: "home".to_owned(), source })
    }

    /// Quarantine and index first, then the sinks: the order of finishing.
    async fn prepare(&mut self) -> Result<Vec<Output>, AttemptError> {
        let mut prepared = Vec::new();
        let home = |source| AttemptError::Sink { sink: "home".to_owned(), source };
        prepared.extend(self.quarantine.prepare().await.map_err(home)?);
        for refused in &mut self.refused {
            prepared.extend(refused.prepare().await.map_err(home)?);
        }
        prepared.extend(self.index.prepare().await.map_err(home)?);
        for (name, sink) in &mut self.sinks {
            let output = sink.prepare().await;
            prepared.extend(output.map_err(|source| AttemptError::Sink { sink: name.clone(), source })?);
        }
        Ok(prepared)
    }

    async fn abort(&mut self) {
        self.quarantine.abort().await;
        for refused in &mut self.refused {
            refused.abort().await;
        }
        self.index.abort().await;
        for (_, sink) in &mut self.sinks {
            sink.abort().await;
        }
    }
}

/// The objects of one account and region together, in the order in which the first of them came: files of a
/// sink are ended when the next account or region comes.
fn group_by_place(objects: Vec<ObjectRef>) -> Vec<ObjectRef> {
    let mut places: BTreeMap<(AccountId, String), usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, ObjectRef)> = Vec::with_capacity(objects.len());
    for object in objects {
        let place = LogKey::parse(&object.key).map(|key| (key.account, key.region.to_owned()));
        let next = places.len();
        let rank = place.map_or(usize::MAX, |place| *places.entry(place).or_insert(next));
        ranked.push((rank, object));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, object)| object).collect()
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// An object is not the one that was compared: it is compared again before anything of it is delivered.
fn changed(object: &ObjectRef) -> AttemptError {
    let message = "other bytes than when it was compared";
    let error = StoreError::new(ErrorKind::Changed, "read object", object.to_string(), message);
    AttemptError::Source { object: Box::new(object.clone()), source: ReadError::Changed(error) }
}

fn gone() -> AttemptError {
    AttemptError::Gone("an earlier step took it".to_owned())
}
