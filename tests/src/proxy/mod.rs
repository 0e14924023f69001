//! A loopback proxy that watches what the agent asks of AWS, and spoils it by a script.
//!
//! ```text
//!  agent ──► Proxy ──► emulator
//!              │  each request: seen, its bucket's owner checked, the script asked
//!              └─ forward, delay, answer for the emulator, break off before or after, cut short, rewrite
//! ```
//!
//! In: the emulator's address and a script: a function from a request to an [`Action`]. Out: an endpoint, the
//! requests seen, and every S3 request that lacked the right `x-amz-expected-bucket-owner` (no emulator checks
//! it; the proxy answers 403, as S3 does). Plain threads, so that a test's own runtime cannot starve it. One
//! connection to the emulator per request; at most [`MAX_CONNECTIONS`] from the agent. Not a general proxy:
//! HTTP/1.1, no TLS.

mod action;
mod chaos;
mod forward;
mod http;
mod kinesis;
mod listing;

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

pub use action::{Action, Answer, Request, Service};
pub use chaos::{Chaos, Rates};
pub use listing::leave_out;

/// More connections than an agent in a test opens.
const MAX_CONNECTIONS: usize = 512;

/// How long a connection may wait for its next request before it looks whether the proxy is stopping.
const TICK: Duration = Duration::from_millis(200);

/// The most requests kept for [`Proxy::seen`].
const MAX_SEEN: usize = 200_000;

/// Held while the emulator has a request that it gets one at a time.
type Turn = Arc<Mutex<()>>;

type Script = Box<dyn FnMut(&Request) -> Action + Send>;

/// A running proxy; it stops when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    script: Mutex<Script>,
    owners: Mutex<BTreeMap<String, String>>,
    /// Operations that the emulator gets one at a time, and their turn.
    alone: Mutex<BTreeMap<(Service, &'static str), Turn>>,
    log: Mutex<Log>,
    connections: AtomicUsize,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Log {
    count: u64,
    seen: Vec<Request>,
    violations: Vec<String>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream` that forwards everything.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            script: Mutex::new(Box::new(|_| Action::Forward)),
            owners: Mutex::default(),
            alone: Mutex::default(),
            log: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept(&listener, &accepting))?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Its URL, to be used as the agent's endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks this script about every request from now on, in the order in which requests arrive. The script
    /// runs alone, so it may count; it may also kill the agent.
    pub fn script(&self, script: impl FnMut(&Request) -> Action + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
    }

    /// Demands from now on that requests to this bucket expect this owner. Requests to other buckets must
    /// expect some owner.
    pub fn own(&self, bucket: &str, account: &str) {
        lock(&self.shared.owners).insert(bucket.to_owned(), account.to_owned());
    }

    /// Lets the emulator have one of these requests at a time from now on, for emulators that lose something when
    /// they come together. Only for requests that the agent sends whole before it waits for anything.
    pub fn one_at_a_time(&self, service: Service, operations: &[&'static str]) {
        let turn = Turn::default();
        let mut alone = lock(&self.shared.alone);
        alone.extend(operations.iter().map(|operation| ((service, *operation), Arc::clone(&turn))));
    }

    /// The requests so far, the oldest first.
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.shared.log).seen.clone()
    }

    /// Forgets the requests seen so far; numbers go on from 1.
    pub fn forget(&self) {
        *lock(&self.shared.log) = Log::default();
    }

    /// S3 requests that did not expect the right owner, in words. Empty in every good test.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.log).violations.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        TcpStream::connect_timeout(&self.address, TICK).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

impl Shared {
    /// Notes a request and decides about it.
    fn decide(&self, request: &mut Request) -> Action {
        let wrong = self.owner_violation(request);
        {
            let mut log = lock(&self.log);
            log.count += 1;
            request.number = log.count;
            if log.seen.len() < MAX_SEEN {
                log.seen.push(request.clone());
            }
            if let Some(wrong) = &wrong {
                log.violations.push(wrong.clone());
            }
        }
        if wrong.is_some() {
            return Action::Answer(Answer::denied());
        }
        let mut script = lock(&self.script);
        script(request)
    }

    /// What a request must hold while the emulator has it.
    fn turn(&self, request: &Request) -> Option<Turn> {
        let alone = lock(&self.alone);
        let of = |(service, operation): &(Service, &str)| {
            *service == request.service && *operation == request.operation
        };
        alone.iter().find(|(key, _)| of(key)).map(|(_, turn)| Arc::clone(turn))
    }

    fn owner_violation(&self, request: &Request) -> Option<String> {
        if request.service != Service::S3 {
            return None;
        }
        let owners = lock(&self.owners);
        match (owners.get(&request.bucket), &request.owner) {
            (Some(wanted), Some(told)) if wanted == told => None,
            (None, Some(_)) => None,
            (wanted, told) => Some(format!("{request}: expects owner {told:?}, and should {wanted:?}")),
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            shared.connections.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            serve(stream, &shared).ok();
            shared.connections.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Serves one connection until it or the proxy ends.
fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TICK))?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    while let Some(head) = http::next_head(&mut reader, || shared.stopping.load(Ordering::SeqCst))? {
        reader.get_ref().set_read_timeout(Some(Duration::from_secs(60)))?;
        if head.header("expect").is_some() {
            reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut request = Request::of(&head);
        let action = shared.decide(&mut request);
        let turn = shared.turn(&request);
        let _turn = turn.as_deref().map(lock);
        if !forward::act(action, &head, &mut reader, shared.upstream)? {
            return Ok(());
        }
        reader.get_ref().set_read_timeout(Some(TICK))?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
