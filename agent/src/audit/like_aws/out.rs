//! What is printed, and where.
//!
//! Errors go to standard error with an empty line after them, and one before where a `valid` line came last.

use jiff::Timestamp;

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Takes the texts in order; they bring their own line ends.
pub type Printer<'a> = dyn FnMut(Stream, &str) + Send + 'a;

/// Counts of one kind of file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ratio {
    pub(super) valid: u64,
    pub(super) invalid: u64,
}

impl Ratio {
    fn write(self, name: &str, out: &mut String) {
        let total = self.valid + self.invalid;
        if total > 0 {
            *out += &format!("\n{}/{total} {name} files valid", self.valid);
        }
        if self.invalid > 0 {
            *out += &format!(", {}/{total} {name} files INVALID", self.invalid);
        }
    }
}

/// The state of the output.
pub(super) struct Out<'a, 'b> {
    print: &'a mut Printer<'b>,
    verbose: bool,
    after_space: bool,
    pub(super) digests: Ratio,
    pub(super) backfill: Ratio,
    pub(super) logs: Ratio,
    found: Option<(i64, i64)>,
}

impl<'a, 'b> Out<'a, 'b> {
    pub(super) fn new(print: &'a mut Printer<'b>, verbose: bool) -> Self {
        let none = Ratio::default();
        Self { print, verbose, after_space: true, digests: none, backfill: none, logs: none, found: None }
    }

    pub(super) fn start(&mut self, trail: &str, from: i64, until: i64) {
        let (from, until) = (display(from), display(until));
        let text = format!("Validating log files for trail {trail} between {from} and {until}\n\n");
        (self.print)(Stream::Out, &text);
    }

    pub(super) fn valid(&mut self, line: &str) {
        if self.verbose {
            self.after_space = false;
            (self.print)(Stream::Out, &format!("{line}\n"));
        }
    }

    pub(super) fn error(&mut self, line: &str) {
        let before = if self.after_space { "" } else { "\n" };
        self.after_space = true;
        (self.print)(Stream::Err, &format!("{before}{line}\n\n"));
    }

    /// The walk ended early.
    pub(super) fn fatal(&mut self, line: &str) {
        (self.print)(Stream::Err, &format!("\n{line}\n"));
    }

    /// A valid digest widens the time that was found, within the time that was asked for.
    pub(super) fn found(&mut self, start: i64, end: i64) {
        let (from, until) = self.found.unwrap_or((start, end));
        self.found = Some((from.min(start), until.max(end)));
    }

    pub(super) fn summary(&mut self, from: i64, until: i64) {
        let mut text = String::new();
        if !self.after_space {
            text.push('\n');
        }
        text += &format!("Results requested for {} to {}\n", display(from), display(until));
        let all = [self.digests, self.backfill];
        if all.iter().all(|ratio| ratio.valid + ratio.invalid == 0) {
            text += "No digests found\n";
        } else {
            match self.found {
                Some((from, until)) => {
                    text += &format!("Results found for {} to {}:\n", display(from), display(until));
                }
                None => text += "No valid digests found in range\n",
            }
            self.digests.write("digest", &mut text);
            self.backfill.write("backfill digest", &mut text);
            self.logs.write("log", &mut text);
            text.push('\n');
        }
        (self.print)(Stream::Out, &text);
    }
}

/// A time as that command prints it.
pub(super) fn display(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
