//! The little of HTTP/1.1 that the proxy needs: heads, and bodies by length, by chunks or to the end.

use std::io::{self, BufRead, ErrorKind, Read, Write};

/// The largest head taken.
const MAX_HEAD: usize = 128 * 1024;

/// The head of a request or an answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Of a request.
    pub(super) method: String,
    /// Of a request: path and query.
    pub(super) target: String,
    /// Of an answer.
    pub(super) status: u16,
    /// In their order; names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    pub(super) fn chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    /// The headers without those that are about one connection.
    pub(super) fn end_to_end(&self) -> impl Iterator<Item = &(String, String)> {
        let of_connection = ["connection", "keep-alive", "proxy-connection", "expect"];
        self.headers.iter().filter(move |(name, _)| !of_connection.contains(&name.as_str()))
    }
}

/// The next head; `None` when the peer is done, or `stop` says so while nothing has come yet.
pub(super) fn next_head(reader: &mut impl BufRead, stop: impl Fn() -> bool) -> io::Result<Option<Head>> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        match reader.by_ref().take(MAX_HEAD as u64).read_until(b'\n', &mut text) {
            Ok(0) => return Ok(None),
            Ok(_) if text.ends_with(b"\r\n\r\n") => return parse(&text).map(Some),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stop() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
        if text.len() > MAX_HEAD {
            return Err(bad("a head without end"));
        }
        if text == b"\r\n" && before == 0 {
            text.clear();
        }
    }
}

fn parse(text: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(text).map_err(|_| bad("a head that is not UTF-8"))?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("");
    let mut words = first.split(' ');
    let (method, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let status = if method.starts_with("HTTP/") { second.parse().map_err(|_| bad("no status"))? } else { 0 };
    // To a proxy the target is a whole URL.
    let target = match second.split_once("://") {
        Some((_, rest)) if second.starts_with("http") => {
            rest.find('/').map_or("/", |slash| rest.get(slash..).unwrap_or("/"))
        }
        _ => second,
    };
    Ok(Head { method: method.to_owned(), target: target.to_owned(), status, headers })
}

/// Reads a request's body to its end and passes it on as it is framed.
pub(super) fn copy_request_body(head: &Head, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    if head.chunked() {
        return copy_chunks(from, to);
    }
    copy_exact(from, to, head.length().unwrap_or(0))
}

/// Passes on at most `limit` bytes of an answer's body; whether that was all of it.
pub(super) fn copy_answer_body(
    method: &str,
    head: &Head,
    from: &mut impl BufRead,
    to: &mut impl Write,
    limit: u64,
) -> io::Result<bool> {
    if method == "HEAD" || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(true);
    }
    if limit < u64::MAX {
        // Cut by bytes of the stream, framing included, which is how connections break.
        let length = head.length().unwrap_or(u64::MAX);
        copy_up_to(from, to, limit.min(length))?;
        return Ok(limit >= length);
    }
    if head.chunked() {
        copy_chunks(from, to)?;
    } else if let Some(length) = head.length() {
        copy_exact(from, to, length)?;
    } else {
        io::copy(from, to)?;
    }
    Ok(true)
}

fn copy_exact(from: &mut impl Read, to: &mut impl Write, length: u64) -> io::Result<()> {
    let copied = copy_up_to(from, to, length)?;
    if copied == length { Ok(()) } else { Err(bad("a body that breaks off")) }
}

fn copy_up_to(from: &mut impl Read, to: &mut impl Write, length: u64) -> io::Result<u64> {
    io::copy(&mut from.take(length), to)
}

fn copy_chunks(from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.by_ref().take(1024).read_line(&mut line)?;
        to.write_all(line.as_bytes())?;
        let size = line.trim().split(';').next().unwrap_or("");
        let size = u64::from_str_radix(size, 16).map_err(|_| bad("a chunk without a size"))?;
        if size == 0 {
            break;
        }
        copy_exact(from, to, size + 2)?;
    }
    // Trailers, up to the empty line.
    loop {
        let mut line = String::new();
        if from.by_ref().take(8192).read_line(&mut line)? == 0 {
            return Err(bad("trailers that break off"));
        }
        to.write_all(line.as_bytes())?;
        if line.trim().is_empty() {
            return Ok(());
        }
    }
}

pub(super) fn bad(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
