//! Asks the running agent of a state folder.
//!
//! In: a state folder and a request. Out: the answer; `None` when no agent runs there. Blocking: for commands.
//! Failure: [`AskError`]. Bounded as the protocol says, and by a time limit.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::protocol::{Answer, MAX_ANSWER, Request};
use super::socket::{SocketPath, TIME};

/// Why an agent that runs did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket.
    #[error("ask the running agent: {0}")]
    Io(#[source] io::Error),
    /// It is of another version.
    #[error("the running agent's answer is not understood; is it of another version? ({0})")]
    Answer(#[source] serde_json::Error),
}

/// Asks the agent that runs in this state folder; `None` when none does.
pub fn ask(folder: &Path, request: &Request) -> Result<Option<Answer>, AskError> {
    let stream = match SocketPath::of(folder).and_then(|path| UnixStream::connect(path.address(""))) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(AskError::Io(error)),
    };
    let line = converse(stream, request).map_err(AskError::Io)?;
    serde_json::from_slice(&line).map(Some).map_err(AskError::Answer)
}

fn converse(mut stream: UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    // The server answers or hangs up within its own time.
    let time = TIME + Duration::from_secs(5);
    stream.set_read_timeout(Some(time))?;
    stream.set_write_timeout(Some(time))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER as u64 + 1)).read_until(b'\n', &mut answer)?;
    Ok(answer)
}
