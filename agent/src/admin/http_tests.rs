use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::vitals::{Gauges, Readiness};
use super::*;
use crate::telemetry::Metric;

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Sends a request and reads the answer: its head and its body.
fn asked(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The server may hang up on what is too long.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    asked(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

#[derive(Default)]
struct Fake {
    trouble: AtomicBool,
    measured: Arc<AtomicU64>,
}

impl Readiness for Fake {
    fn in_the_way(&self) -> Option<String> {
        self.trouble.load(Ordering::Relaxed).then(|| "lane 3 has ended".to_owned())
    }
}

impl Gauges for Fake {
    fn measure(&self) {
        self.measured.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn it_says_whether_the_agent_lives_and_is_ready() {
    let vitals = Arc::new(Vitals::default());
    let endpoint = Endpoint::serve(anywhere(), Arc::clone(&vitals)).unwrap();
    let address = endpoint.address();
    assert_ne!(address.port(), 0);
    assert!(get(address, "/healthz").0.starts_with("http/1.1 200"));
    let (head, body) = get(address, "/readyz");
    assert!(head.starts_with("http/1.1 503") && body.contains("starting"), "{head} {body}");
    let fake = Arc::new(Fake::default());
    vitals.running(fake.clone(), Box::new(Fake::default()));
    assert!(get(address, "/readyz").0.starts_with("http/1.1 200"));
    fake.trouble.store(true, Ordering::Relaxed);
    let (head, body) = get(address, "/readyz");
    assert!(head.starts_with("http/1.1 503") && body == "lane 3 has ended\n", "{head} {body}");
    vitals.ended();
    assert!(get(address, "/readyz").0.starts_with("http/1.1 503"));
    assert!(get(address, "/healthz").0.starts_with("http/1.1 200"));
    drop(endpoint);
    assert!(TcpStream::connect(address).is_err(), "it ends with its owner");
}

#[test]
fn metrics_are_text_and_measured_at_most_every_now_and_then() {
    let vitals = Arc::new(Vitals::default());
    let endpoint = Endpoint::serve(anywhere(), Arc::clone(&vitals)).unwrap();
    vitals.registry().series(Metric::RecordsIn, &[]).add(7);
    let fake = Fake::default();
    let measured = Arc::clone(&fake.measured);
    vitals.running(Arc::new(Fake::default()), Box::new(fake));
    for _ in 0..5 {
        let (head, body) = get(endpoint.address(), "/metrics");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
        assert!(body.ends_with('\n') && body.contains("\ntrailhaul_in_records_total 7\n"), "{body}");
    }
    assert!((1..=5).contains(&measured.load(Ordering::Relaxed)));
    let (head, body) = asked(endpoint.address(), "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("http/1.") && head.contains(" 200") && body.is_empty(), "{head}");
}

#[test]
fn other_questions_are_refused() {
    let endpoint = Endpoint::serve(anywhere(), Arc::default()).unwrap();
    let address = endpoint.address();
    assert!(get(address, "/").0.starts_with("http/1.1 404"));
    assert!(get(address, "/metrics/../../etc/passwd").0.starts_with("http/1.1 404"));
    let (head, _) = asked(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\nabc");
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
    let long = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    assert!(!asked(address, &long).0.contains(" 200"));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert!(!asked(address, &many).0.contains(" 200"));
    assert!(!asked(address, "rubbish\r\n\r\n").0.contains(" 200"));
    assert!(get(address, "/healthz").0.contains(" 200"));
}

#[test]
fn who_says_nothing_holds_up_nobody_for_long() {
    let endpoint = Endpoint::serve(anywhere(), Arc::default()).unwrap();
    // More than are served at once: all of them lose their place when their time is over.
    let silent: Vec<TcpStream> =
        (0..CONNECTIONS + 4).map(|_| TcpStream::connect(endpoint.address()).unwrap()).collect();
    assert!(get(endpoint.address(), "/healthz").0.contains(" 200"));
    drop(silent);
}

#[test]
fn an_address_has_one_owner() {
    let first = Endpoint::serve(anywhere(), Arc::default()).unwrap();
    let error = Endpoint::serve(first.address(), Arc::default()).unwrap_err().to_string();
    assert!(error.contains(&first.address().to_string()) && error.contains("`off`"), "{error}");
    let address = first.address();
    drop(first);
    assert_eq!(Endpoint::serve(address, Arc::default()).unwrap().address(), address, "it is free at once");
}

/// A measurement that hangs.
struct Slow(Arc<AtomicBool>);

impl Gauges for Slow {
    fn measure(&self) {
        while !self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn probes_do_not_wait_for_a_measurement_and_the_end_of_a_run_does() {
    let (vitals, go) = (Arc::new(Vitals::default()), Arc::new(AtomicBool::new(false)));
    let endpoint = Endpoint::serve(anywhere(), Arc::clone(&vitals)).unwrap();
    let address = endpoint.address();
    vitals.running(Arc::new(Fake::default()), Box::new(Slow(Arc::clone(&go))));
    let scrape = std::thread::spawn(move || get(address, "/metrics"));
    for path in ["/healthz", "/readyz", "/healthz"] {
        assert!(get(address, path).0.contains(" 200"));
    }
    let ended = std::thread::spawn({
        let vitals = Arc::clone(&vitals);
        move || vitals.ended()
    });
    go.store(true, Ordering::Relaxed);
    ended.join().unwrap();
    assert_eq!(Arc::strong_count(&go), 1, "nobody holds what the run had");
    let _ = scrape.join().unwrap();
}
