//! Results on standard output and trouble on standard error; the only file that writes to either.

use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;

use super::{ExitCode, OutputForm};

/// Where results go.
#[derive(Debug)]
pub struct Output {
    form: OutputForm,
    failed: bool,
    /// Standard output may block for ever.
    cut: bool,
}

impl Output {
    /// The process's own standard output.
    pub fn standard(form: OutputForm) -> Self {
        Self { form, failed: false, cut: false }
    }

    /// Whether results are for programs.
    pub fn is_json(&self) -> bool {
        self.form == OutputForm::Json
    }

    /// Writes text as it is.
    pub fn text(&mut self, text: &str) {
        self.wrote(io::stdout().lock().write_all(text.as_bytes()));
    }

    /// Writes bytes as they are; `false` when nobody reads them any more, or they could not be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        let result = io::stdout().lock().write_all(bytes);
        let written = result.is_ok();
        self.wrote(result);
        written
    }

    /// Writes one JSON value, indented.
    pub fn json(&mut self, value: &Value) {
        self.text(&format!("{value:#}\n"));
    }

    /// Says on standard error what went wrong.
    pub fn trouble(&mut self, message: &str) {
        self.wrote(writeln!(io::stderr().lock(), "{message}"));
    }

    /// Writes text to standard error as it is: for output that another program's is compared with.
    pub fn error_text(&mut self, text: &str) {
        self.wrote(io::stderr().lock().write_all(text.as_bytes()));
    }

    /// Shows how far a long work has come, on one line that is written over; nothing where nobody watches.
    /// An empty text clears the line.
    pub fn progress(&mut self, text: &str) {
        let mut stderr = io::stderr().lock();
        if stderr.is_terminal() {
            let shown = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
            drop(stderr);
            self.wrote(shown);
        }
    }

    /// Says on standard error how it ended, and leaves standard output alone from now on.
    pub fn cut_short(&mut self, message: &str) {
        self.cut = true;
        self.trouble(message);
    }

    /// Good, unless something could not be written. A reader that went away (`| head`) has what it wanted.
    pub fn finish(&mut self) -> ExitCode {
        if !self.cut {
            let flushed = io::stdout().lock().flush();
            self.wrote(flushed);
        }
        if self.failed { ExitCode::Internal } else { ExitCode::Good }
    }

    fn wrote(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failed = true;
        }
    }
}

/// Lines up columns, two spaces apart; the last one is not padded.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if column < last {
                let gap = width.saturating_sub(cell.chars().count()) + 2;
                text.extend(std::iter::repeat_n(' ', gap));
            }
        }
        text.push('\n');
    }
    text
}
