//! `tail`, `dedup`, `integrity`, `state` and `admin`: small areas with a few keys each.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::choice::{Choice as _, choices};
use super::key::{Form, Key, Kind};
use super::section::{Section, Shape, scalar};
use super::support;
use super::value::absolute;
use super::values::{DAY, HOUR, MINUTE};

/// How buckets are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Between two listings of a stream that delivers.
    pub interval: Duration,
    /// Between two listings of a stream that has been idle for long.
    pub max_interval: Duration,
    /// How far back an open day folder is listed again for late stamps.
    pub look_back: Duration,
}

/// How duplicates are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedup {
    /// Copies of an event that are committed within this time of each other are delivered once.
    pub window: Duration,
}

/// How digests are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// What a digest's verdict decides.
    pub mode: IntegrityMode,
    /// How late a digest may come before its absence is a finding.
    pub grace: Duration,
    /// How long an object that no digest names stays `pending` before it is `extra`.
    pub extra_after: Duration,
    /// Saved ListPublicKeys answers, for use without AWS; absolute.
    pub public_keys: Vec<PathBuf>,
    /// In `hold`: how long an object waits for its digest before that is a finding.
    pub max_hold: Duration,
}

choices! {
    /// What a digest's verdict decides.
    IntegrityMode {
        /// Ship at once; the verdict follows.
        Attest = "attest",
        /// Ship when a digest has vouched for the object.
        Hold = "hold",
        /// Read no digests.
        Off = "off",
    }
}

/// The state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The folder, absolute.
    pub path: PathBuf,
    /// How long objects found and done are remembered one by one.
    pub retention: Duration,
}

/// The admin endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    /// Where health and metrics are served; nowhere when off.
    pub listen: Option<SocketAddr>,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const TAIL: &[Key] = &[
    Key::with_default(
        "interval",
        Kind::Duration(seconds(1), seconds(HOUR)),
        "30s",
        "Between two listings of a stream that delivers.",
    ),
    Key::with_default(
        "max_interval",
        Kind::Duration(seconds(1), seconds(DAY)),
        "15m",
        "Between two listings of a stream that has been idle for long.",
    ),
    Key::with_default(
        "look_back",
        Kind::Duration(seconds(MINUTE), seconds(2 * DAY)),
        "1h",
        "How far back an open day folder is listed again for late stamps.",
    ),
];

pub(super) const DEDUP: &[Key] = &[Key::with_default(
    "window",
    Kind::Duration(seconds(HOUR), seconds(90 * DAY)),
    "7d",
    "Copies of an event committed within this time of each other are delivered once.",
)];

pub(super) const INTEGRITY: &[Key] = &[
    Key::with_default(
        "mode",
        Kind::Choice(IntegrityMode::NAMES),
        "attest",
        "What a digest's verdict decides.",
    ),
    Key::with_default(
        "grace",
        Kind::Duration(seconds(1), seconds(31 * DAY)),
        "3h",
        "How late a digest may come before its absence is a finding.",
    ),
    Key::with_default(
        "extra_after",
        Kind::Duration(seconds(1), seconds(45 * DAY)),
        "7d",
        "How long an object that no digest names stays pending before it is extra.",
    ),
    Key::optional(
        "public_keys",
        Kind::Either(&[Kind::Text(Form::Path), Kind::List(&Kind::Text(Form::Path))]),
        "Saved ListPublicKeys answers, for use without AWS: a path or a list of paths.",
    ),
    Key::with_default(
        "max_hold",
        Kind::Duration(seconds(1), seconds(31 * DAY)),
        "6h",
        "In hold: how long an object waits for its digest before it is hauled without one.",
    ),
];

pub(super) const STATE: &[Key] = &[
    Key::with_default("path", Kind::Text(Form::Path), "/var/lib/trailhaul", "The state folder."),
    // A day folder is listed for the last time after 31 days: what is forgotten before would be found again.
    Key::with_default(
        "retention",
        Kind::Duration(seconds(32 * DAY), seconds(400 * DAY)),
        "45d",
        "How long objects found and done are remembered one by one.",
    ),
];

pub(super) const ADMIN: &[Key] = &[Key::with_default(
    "listen",
    Kind::Text(Form::Listen),
    "127.0.0.1:9470",
    "Where health and metrics are served: address:port, or off.",
)];

pub(super) fn tail(s: &Section<'_>) -> Option<Tail> {
    let interval = s.duration("interval");
    let max_interval = s.duration("max_interval");
    let look_back = s.duration("look_back");
    let tail = Tail { interval: interval?, max_interval: max_interval?, look_back: look_back? };
    if tail.max_interval < tail.interval {
        s.problem("max_interval", "is shorter than interval");
    }
    Some(tail)
}

pub(super) fn dedup(s: &Section<'_>) -> Option<Dedup> {
    Some(Dedup { window: s.duration("window")? })
}

pub(super) fn integrity(s: &Section<'_>) -> Option<Integrity> {
    let mode = s.choice::<IntegrityMode>("mode");
    if let Some(mode) = mode {
        s.needs("mode", support::integrity(mode));
    }
    let grace = s.duration("grace");
    let extra_after = s.duration("extra_after");
    let public_keys = public_keys(s);
    let max_hold = s.duration("max_hold");
    Some(Integrity {
        mode: mode?,
        grace: grace?,
        extra_after: extra_after?,
        public_keys: public_keys?,
        max_hold: max_hold?,
    })
}

fn public_keys(s: &Section<'_>) -> Option<Vec<PathBuf>> {
    let path = |text: &str| Ok(absolute(text.as_ref(), s.cx.base()));
    if s.shape("public_keys") == Shape::Scalar {
        return scalar(&s.item("public_keys")?, s.cx, path).map(|path| vec![path]);
    }
    s.scalars("public_keys", path)
}

pub(super) fn state(s: &Section<'_>) -> Option<State> {
    let path = s.read("path", |text| Ok(absolute(text.as_ref(), s.cx.base())));
    let retention = s.duration("retention");
    Some(State { path: path?, retention: retention? })
}

pub(super) fn admin(s: &Section<'_>) -> Option<Admin> {
    let listen = s.read("listen", |text| match text {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| String::from("expected address:port, or off")),
    });
    Some(Admin { listen: listen? })
}
