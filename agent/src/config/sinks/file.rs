//! A folder of files on this machine, for other programs to read.

use std::path::PathBuf;

use crate::config::choice::Choice as _;
use crate::config::key::{Form, Key, Kind};
use crate::config::section::Section;

use super::{Compression, Format, sink_keys};

/// A file sink's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The folder, absolute.
    pub path: PathBuf,
    /// How files are compressed.
    pub compression: Compression,
}

pub(in crate::config) const KEYS: &[Key] = sink_keys![
    Key::required("path", Kind::Text(Form::Path), "The folder that the files are written to."),
    Key::with_default("compression", Kind::Choice(Compression::NAMES), "none", "How files are compressed."),
];

pub(super) fn build(s: &Section<'_>) -> Option<File> {
    let path = s.path_at("path");
    let compression = s.choice::<Compression>("compression");
    Some(File { path: path??, compression: compression? })
}
