//! The batch's ids in the archive: written before the batch is prepared, read back by recovery.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use jiff::Timestamp;
use trailhaul_core::dedup::{IndexDecoder, IndexEncoder};
use trailhaul_core::model::{BatchEntry, BatchId, Place, Role};

use super::commit::{CommitError, LaneWriter};
use super::mill::Mill;
use crate::ledger::{LedgerError, NewFinding, RowVisitor};
use crate::sinks::{SinkError, UploadWriter};
use crate::store::{ErrorKind, GetOptions, ObjectStore, StoreError};
use crate::telemetry::FindingKind;

/// Bytes handed over at once.
const PIECE: usize = 256 * 1024;

/// Writes the ids of the mill's finished batch to `writer`. Gives the mill back.
pub(super) async fn write(
    mut mill: Box<Mill>,
    batch: BatchId,
    writer: &mut UploadWriter,
) -> Result<Box<Mill>, SinkError> {
    // Two pieces under way: the one being made and the one being uploaded.
    let (send, mut receive) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let maker = tokio::task::spawn_blocking(move || {
        let made = make(&mut mill, batch, &send);
        (mill, made)
    });
    let mut result = Ok(());
    while let Some(piece) = receive.recv().await {
        result = writer.write(&piece, 0).await;
        if result.is_err() {
            break;
        }
    }
    drop(receive);
    let failed =
        |message: String| StoreError::new(ErrorKind::Other, "write index", batch.to_string(), message);
    let (mill, made) = maker.await.map_err(|error| failed(error.to_string()))?;
    result?;
    made.map_err(failed)?;
    Ok(mill)
}

fn make(mill: &mut Mill, batch: BatchId, send: &tokio::sync::mpsc::Sender<Vec<u8>>) -> Result<(), String> {
    let mut out = Vec::new();
    let mut encoder = IndexEncoder::new(batch, &mut out);
    mill.window
        .rows(&mut mill.scratch, &mut |segment, row| {
            encoder.row(segment, row, &mut out);
            if out.len() >= PIECE {
                send.blocking_send(std::mem::take(&mut out))?;
            }
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    encoder.finish(&mut out);
    send.blocking_send(out).map_err(|error| error.to_string())
}

/// A batch's ids, on local disk until the ledger has them.
pub(super) struct Spooled(Option<File>);

impl Spooled {
    /// Visits the rows, segment by segment.
    pub(super) fn rows(&self, visit: &mut RowVisitor<'_>) -> Result<(), LedgerError> {
        const DAMAGED: LedgerError = LedgerError::Row { table: "index file" };
        let Some(mut file) = self.0.as_ref() else { return Ok(()) };
        file.seek(SeekFrom::Start(0)).map_err(|_| DAMAGED)?;
        let mut decoder = IndexDecoder::new();
        let mut piece = vec![0; PIECE];
        loop {
            let count = file.read(&mut piece).map_err(|_| DAMAGED)?;
            if count == 0 {
                break;
            }
            let bytes = piece.get(..count).unwrap_or_default();
            decoder
                .feed(bytes, &mut |segment, row| Ok(visit(&segment.to_bytes(), row)?))
                .map_err(|_| DAMAGED)?;
        }
        decoder.finish().map_err(|_| DAMAGED)?;
        Ok(())
    }
}

/// Fetches the ids of a committed batch from its `index/` output. A batch without records has none; an index
/// that has expired is no loss once its batch lies outside the window, and a finding before that.
pub(super) async fn spool(
    writer: &LaneWriter,
    batch: &BatchEntry,
    at: Timestamp,
) -> Result<Spooled, CommitError> {
    let Some(output) = batch.outputs.iter().find(|output| output.role == Role::Index) else {
        return Ok(Spooled(None));
    };
    let Place::Upload { store, key, .. } = &output.place else { return Ok(Spooled(None)) };
    let place = writer.patience.run(|| writer.places.get(store)).await?;
    let fetched = writer.patience.run(|| fetch(place.as_ref(), key, &writer.scratch)).await;
    match fetched {
        Ok(file) => Ok(Spooled(Some(file))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let expires = at.as_second().saturating_add(writer.window_seconds);
            if expires >= writer.now().as_second() {
                let text = format!(
                    "{store}/{key} is gone, so that copies of batch {}'s events that come within dedup.window are delivered again",
                    batch.batch
                );
                let subject = format!("{store}/{key}");
                let finding = NewFinding::new(FindingKind::IndexMissing.name(), &subject, &text);
                writer.ledger.find(&finding.lane(writer.lane), writer.now())?;
                tracing::error!(batch = %batch.batch, "miss the index of a committed batch");
            }
            Ok(Spooled(None))
        }
        Err(error) => Err(error.into()),
    }
}

async fn fetch(store: &dyn ObjectStore, key: &str, folder: &Path) -> Result<File, StoreError> {
    let place = || format!("{}/{key}", store.url());
    let failed = |error: std::io::Error| {
        StoreError::new(ErrorKind::Other, "spool index", place(), error.to_string()).caused_by(error)
    };
    let mut object = store.get(key, GetOptions::default()).await?;
    let mut file = nameless(folder).map_err(failed)?;
    let mut size = 0;
    while let Some(piece) = object.body.next().await? {
        size += piece.len() as u64;
        file.write_all(&piece).map_err(failed)?;
    }
    if size != object.meta.size {
        return Err(StoreError::new(ErrorKind::Unavailable, "spool index", place(), "the body ended early"));
    }
    Ok(file)
}

/// A file in the state folder that is gone when it is closed: it has no name from the beginning, or loses it
/// where the file system knows no nameless files.
fn nameless(folder: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    std::fs::create_dir_all(folder)?;
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let path = folder.join(format!("spool-{}", hex::encode(rand::random::<[u8; 8]>())));
            let file = File::options().create_new(true).read(true).write(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        Err(errno) => Err(errno.into()),
    }
}
