//! The control socket of a running agent, in its state folder.
//!
//! In: connections, each with one line of JSON. Out: one line of JSON. Invariant: only the owner of the state folder
//! (and root) can connect: mode 0600; a slow or silent client holds up nobody else. Failure: a socket that cannot be
//! made is told and the agent runs without it.
//!
//! Bounds: [`CONNECTIONS`] at once, [`TIME`] each, lines as in the protocol; one answer is made at a time.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::protocol::{Answer, MAX_ANSWER, MAX_REQUEST};
use crate::runtime::{OnError, OnStop, Tasks};

/// Connections that are served at once: people and a monitoring script.
const CONNECTIONS: usize = 4;

/// How long a connection may take in all.
pub(super) const TIME: Duration = Duration::from_secs(20);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[error("make control socket {}", path.display())]
pub struct SocketError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Where the socket of a state folder is, in a form that is short enough for a socket address.
#[derive(Debug)]
pub struct SocketPath {
    whole: PathBuf,
    /// Addresses of sockets have at most 107 bytes: a longer folder is named by a handle on it.
    folder: Option<File>,
}

/// The name in the state folder.
const NAME: &str = "control.sock";

impl SocketPath {
    /// The socket of this state folder.
    pub fn of(folder: &Path) -> io::Result<Self> {
        /// Leaves room for a suffix.
        const MOST: usize = 96;
        let whole = folder.join(NAME);
        let long = whole.as_os_str().len() > MOST;
        Ok(Self { whole, folder: if long { Some(File::open(folder)?) } else { None } })
    }

    /// The address.
    pub fn address(&self, suffix: &str) -> PathBuf {
        match &self.folder {
            Some(folder) => PathBuf::from(format!("/proc/self/fd/{}/{NAME}{suffix}", folder.as_raw_fd())),
            None => PathBuf::from(format!("{}{suffix}", self.whole.display())),
        }
    }
}

/// Serves the socket of a state folder until the stop. The caller holds the lock of the folder.
pub fn serve(folder: &Path, desk: Desk, tasks: &Arc<Tasks>) -> Result<(), SocketError> {
    let error = |source| SocketError { path: folder.join(NAME), source };
    let path = SocketPath::of(folder).map_err(error)?;
    let listener = listen(&path).map_err(error)?;
    let stopping = tasks.shutdown().stopping().clone();
    let inner = Arc::clone(tasks);
    tasks.spawn("control socket", OnError::Log, OnStop::Wait, async move {
        accept(&listener, &desk, &inner, &stopping).await;
        // Whoever looks for a running agent finds none.
        let _ = fs::remove_file(path.address(""));
        Ok(())
    });
    Ok(())
}

/// Binds under a name that nobody looks for, closes it to others, and gives it its name.
fn listen(path: &SocketPath) -> io::Result<UnixListener> {
    let (new, address) = (path.address(".new"), path.address(""));
    for left in [&new, &address] {
        match fs::remove_file(left) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, &address)?;
    Ok(listener)
}

async fn accept(listener: &UnixListener, desk: &Desk, tasks: &Tasks, stopping: &CancellationToken) {
    /// After a failure, such as too many open files.
    const PAUSE: Duration = Duration::from_millis(200);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let turn = Arc::new(Semaphore::new(1));
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stopping.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let (desk, turn) = (desk.clone(), Arc::clone(&turn));
                tasks.spawn("control connection", OnError::Log, OnStop::Abort, async move {
                    let _permit = permit;
                    // A client that went away, or is too slow, has no answer to get.
                    if let Ok(Err(error)) = tokio::time::timeout(TIME, converse(stream, desk, &turn)).await {
                        tracing::debug!(%error, "drop a control connection");
                    }
                    Ok(())
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept no control connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, desk: Desk, turn: &Semaphore) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(read.take(MAX_REQUEST as u64));
    reader.read_until(b'\n', &mut line).await?;
    let _turn = turn.acquire().await;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => {
            // Reads of a large ledger take a while: not on the runtime's threads.
            let answered = tokio::task::spawn_blocking(move || desk.answer(&request)).await;
            answered.unwrap_or_else(|error| Answer::Failed { reason: error.to_string() })
        }
        Err(error) => Answer::Failed { reason: format!("not a request: {error}") },
    };
    write.write_all(&to_line(&answer)).await?;
    write.shutdown().await
}

fn to_line(answer: &Answer) -> Vec<u8> {
    let failed = |reason: &str| {
        let answer = Answer::Failed { reason: reason.to_owned() };
        serde_json::to_vec(&answer).unwrap_or_default()
    };
    let mut line = match serde_json::to_vec(answer) {
        Ok(line) if line.len() < MAX_ANSWER => line,
        Ok(_) => failed("the answer is too large: ask for less"),
        Err(error) => failed(&error.to_string()),
    };
    line.push(b'\n');
    line
}
