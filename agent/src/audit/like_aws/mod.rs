//! `verify --like-aws`: the walk and the words of `aws cloudtrail validate-logs` 1.46.3.
//!
//! For scripts that read that command's output: one trail, one account, one region; the same messages, the
//! same counts, the same exit code. It also shares that command's blind spots (adjacent missing digests are
//! one, the newest may be gone unnoticed, any denied object ends it), so people should use `verify` itself.
//!
//! In: what to validate, the bucket, the keys. Out: lines for standard output and standard error, and the
//! exit code: 0 all valid, 1 something invalid, 255 the walk could not go on.

mod digest;
mod list;
mod out;
mod run;
#[cfg(test)]
mod tests;

pub use out::{Printer, Stream};
pub use run::{LikeAws, validate};
