//! Carrying out an action.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::action::{Action, Answer};
use super::http::{self, Head};
use super::kinesis;

/// The longest that the emulator may take over anything.
const UPSTREAM: Duration = Duration::from_secs(60);

/// Carries out the action for a request whose head has been read; whether the connection goes on.
pub(super) fn act(
    action: Action,
    head: &Head,
    client: &mut BufReader<TcpStream>,
    upstream: SocketAddr,
) -> io::Result<bool> {
    match action {
        Action::Forward => relay(head, client, upstream, u64::MAX),
        Action::Delay(pause) => {
            std::thread::sleep(pause);
            relay(head, client, upstream, u64::MAX)
        }
        Action::Truncate(bytes) => relay(head, client, upstream, bytes),
        Action::Rewrite(change) => rewrite(head, client, upstream, change),
        Action::Answer(answer) => {
            http::copy_request_body(head, client, &mut io::sink())?;
            write_answer(&answer, &head.method, client.get_mut())?;
            Ok(true)
        }
        Action::BreakBefore => {
            http::copy_request_body(head, client, &mut io::sink())?;
            Ok(false)
        }
        Action::Stall(pause) => {
            http::copy_request_body(head, client, &mut io::sink())?;
            std::thread::sleep(pause);
            Ok(false)
        }
        Action::BreakAfter => {
            swallow(head, client, upstream)?;
            Ok(false)
        }
        Action::After(run) => {
            let done = swallow(head, client, upstream);
            run();
            done.map(|()| false)
        }
        Action::FailEntries(entries, code) => {
            let mut body = Vec::new();
            http::copy_request_body(head, client, &mut body)?;
            let answer = kinesis::fail_entries(&body, &entries, code, |body| ask(head, body, upstream))?;
            write_answer(&answer, &head.method, client.get_mut())?;
            Ok(true)
        }
    }
}

/// Sends the request on and the answer back; `limit` cuts the answer's body.
fn relay(
    head: &Head,
    client: &mut BufReader<TcpStream>,
    upstream: SocketAddr,
    limit: u64,
) -> io::Result<bool> {
    let (answer, mut upstream) = exchange(head, client, upstream)?;
    let out = client.get_mut();
    write!(out, "HTTP/1.1 {} X\r\n", answer.status)?;
    for (name, value) in answer.end_to_end() {
        write!(out, "{name}: {value}\r\n")?;
    }
    let framed = answer.length().is_some() || answer.chunked() || head.method == "HEAD";
    out.write_all(if framed { b"\r\n" } else { b"connection: close\r\n\r\n" })?;
    let whole = http::copy_answer_body(&head.method, &answer, &mut upstream, out, limit)?;
    out.flush()?;
    Ok(whole && framed)
}

/// Sends the request on and another text back.
fn rewrite(
    head: &Head,
    client: &mut BufReader<TcpStream>,
    upstream: SocketAddr,
    change: impl FnOnce(&str) -> String,
) -> io::Result<bool> {
    let (answer, mut upstream) = exchange(head, client, upstream)?;
    if answer.chunked() {
        return Err(http::bad("an answer of unknown length is to be rewritten"));
    }
    let mut body = Vec::new();
    http::copy_answer_body(&head.method, &answer, &mut upstream, &mut body, u64::MAX)?;
    let body = change(&String::from_utf8(body).map_err(|_| http::bad("an answer that is no text"))?);
    let headers = answer.end_to_end().filter(|(name, _)| name != "content-length").cloned().collect();
    write_answer(&Answer { status: answer.status, headers, body }, &head.method, client.get_mut())?;
    Ok(true)
}

/// Lets the emulator do it, and keeps the answer from the agent.
fn swallow(head: &Head, client: &mut BufReader<TcpStream>, upstream: SocketAddr) -> io::Result<()> {
    let (answer, mut upstream) = exchange(head, client, upstream)?;
    http::copy_answer_body(&head.method, &answer, &mut upstream, &mut io::sink(), u64::MAX)?;
    Ok(())
}

fn exchange(
    head: &Head,
    client: &mut impl BufRead,
    upstream: SocketAddr,
) -> io::Result<(Head, BufReader<TcpStream>)> {
    let mut to = connect(upstream)?;
    write_head(head, head.end_to_end(), &mut to)?;
    http::copy_request_body(head, client, &mut to)?;
    to.flush()?;
    let mut from = BufReader::with_capacity(64 * 1024, to);
    let answer = http::next_head(&mut from, || true)?.ok_or_else(|| http::bad("no answer"))?;
    Ok((answer, from))
}

/// Sends another body under the same head; status and body of the answer.
fn ask(head: &Head, body: &[u8], upstream: SocketAddr) -> io::Result<(u16, Vec<u8>)> {
    let mut to = connect(upstream)?;
    let length = ("content-length".to_owned(), body.len().to_string());
    let others = head.end_to_end().filter(|(name, _)| name != "content-length");
    write_head(head, others.chain([&length]), &mut to)?;
    to.write_all(body)?;
    let mut from = BufReader::new(to);
    let answer = http::next_head(&mut from, || true)?.ok_or_else(|| http::bad("no answer"))?;
    if answer.chunked() {
        return Err(http::bad("a chunked answer to PutRecords"));
    }
    let mut body = Vec::new();
    http::copy_answer_body(&head.method, &answer, &mut from, &mut body, u64::MAX)?;
    Ok((answer.status, body))
}

fn connect(upstream: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&upstream, UPSTREAM)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(UPSTREAM))?;
    Ok(stream)
}

fn write_head<'h>(
    head: &Head,
    headers: impl Iterator<Item = &'h (String, String)>,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("connection: close\r\n\r\n");
    to.write_all(text.as_bytes())
}

fn write_answer(answer: &Answer, method: &str, out: &mut impl Write) -> io::Result<()> {
    let body = if method == "HEAD" { "" } else { &answer.body };
    let mut text = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    out.write_all(text.as_bytes())?;
    out.flush()
}
