//! Standard output: one JSON text per line, for a look at what flows.

use crate::config::choice::Choice as _;
use crate::config::key::{Form, Key, Kind};

use super::{Format, sink_keys};

/// A console sink has no settings of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {}

pub(in crate::config) const KEYS: &[Key] = sink_keys![];
