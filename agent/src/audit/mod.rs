//! Checking what CloudTrail delivered against its digests.
//!
//! ```text
//!  source ──► folders ──► digests ──► walk ──► report ──► text, JSON, exit code
//!  buckets    accounts,   keys of     examine,
//!  and their  regions     a range     chain, logs
//!  copies
//! ```
//!
//! In: buckets (live ones, or copies of them), public keys, a range of time. Out: a [`Report`]. Invariants:
//! one object, chain or account that cannot be read never stops the others, and is said; nothing that an
//! unproven digest names is acted upon; memory does not grow with the number or the size of log files.
//!
//! Not here: where keys and stores come from (the command line), and the rules themselves (`core::verify`).
//! On failure: what could not be read is [`Class::Unknown`](trailhaul_core::verify::Class) in the report,
//! never good, never a finding.

pub mod follow;
pub mod like_aws;

mod digests;
mod folders;
mod group;
mod judge;
mod keys;
mod logs;
mod progress;
mod report;
mod source;
mod standing;
mod text;
mod verify;
mod versions;
mod walk;

pub use folders::{Folder, FoundFolders, find_folders};
pub use keys::{AskCloudTrail, KeyFileError, KeySource, KeySourceError, Keys, load_kept_keys, load_key_file};
pub use progress::Progress;
pub use report::{ChainReport, Counts, Problem, Report, Totals, Weight};
pub use source::{OpenError, Outlook, ReadFailure, Source, Sources};
pub use standing::{AskTrails, Standing, TrailOracle};
pub use text::write_text;
pub use verify::{Verification, VerifyRequest};
