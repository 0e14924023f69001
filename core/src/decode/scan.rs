//! Finds the end of one JSON value by its structure alone: strings and brackets.
//!
//! In: the bytes from the value's start, growing from call to call. Out: its length, once its end is seen.
//! Invariant: for a valid value the length is right; every byte is looked at once, however often the caller
//! comes back with more. It is no validator: an invalid value may end anywhere, and the validator says so.
//! Used where the validator cannot say where a value ends: cut by a window's end, invalid, or too large.

use memchr::memchr2;

/// The state of a scan. `pos` counts from the value's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pos: usize,
    depth: u64,
    in_string: bool,
    in_scalar: bool,
}

impl Scan {
    /// How many bytes have been looked at.
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// Forgets the bytes looked at: the caller drops them, and the value goes on at position 0.
    pub(super) fn rebase(&mut self) {
        self.pos = 0;
    }

    /// Looks on; the value's length when its end is among `bytes`. A number or literal ends before the byte
    /// that follows it.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            if self.in_string {
                if !self.string(bytes) {
                    return None;
                }
            } else if self.in_scalar {
                let rest = bytes.get(self.pos..)?;
                let end = rest.iter().position(|&b| is_end_of_scalar(b));
                self.pos += end.unwrap_or(rest.len());
                return end.map(|_| self.pos);
            } else {
                self.pos += next_structural(bytes.get(self.pos..)?, self.depth == 0)?;
                let byte = *bytes.get(self.pos)?;
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => self.in_scalar = true,
                }
                self.pos += 1;
                if byte == b'"' || self.in_scalar {
                    continue;
                }
            }
            if self.depth == 0 {
                return Some(self.pos);
            }
        }
    }

    /// Passes the rest of a string; `false` when its end is not among the bytes.
    fn string(&mut self, bytes: &[u8]) -> bool {
        while let Some(at) = bytes.get(self.pos..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            let at = self.pos + at;
            if bytes.get(at) == Some(&b'"') {
                self.pos = at + 1;
                self.in_string = false;
                return true;
            }
            if at + 1 >= bytes.len() {
                // The escaped byte is still to come: look at the backslash again then.
                self.pos = at;
                return false;
            }
            self.pos = at + 2;
        }
        self.pos = self.pos.max(bytes.len());
        false
    }
}

/// The next byte outside strings that matters: any, at the value's first; quotes and brackets within.
fn next_structural(bytes: &[u8], first: bool) -> Option<usize> {
    if first {
        return (!bytes.is_empty()).then_some(0);
    }
    bytes.iter().position(|&b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']'))
}

/// What follows a number or a literal in valid JSON.
pub(super) fn is_end_of_scalar(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')
}
