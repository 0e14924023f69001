//! Validates one record and finds its fields, in one pass.
//!
//! In: bytes that start with a record's `{`. Out: the record's length and fields, or that it is bad, or that
//! the bytes end before it does. Invariant: what is called a record is exactly one JSON object of RFC 8259
//! (numbers, escapes and all) in valid UTF-8, nested at most [`MAX_DEPTH`] deep; tests compare it with
//! `serde_json`. Lone surrogates in `\u` escapes are valid by that grammar. Nothing is allocated.

use super::chunk::Fields;
use super::field::{Field, Found};
use super::limits::MAX_DEPTH;
use super::mask::mask;
use super::strict;

/// What the bytes at hand start with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// A valid record.
    Record {
        /// Its length in bytes.
        len: usize,
        /// Its fields; positions count from its start.
        fields: Fields,
        /// It has line breaks between its tokens.
        broken_lines: bool,
    },
    /// More bytes are needed to tell.
    Incomplete,
    /// No valid record, whatever follows.
    Bad,
}

/// Looks at the record at the start of `bytes`.
pub(super) fn record(bytes: &[u8]) -> Finding {
    let mut walk = Walk::new(bytes);
    let end = walk.object();
    let (len, unusual, broken_lines) = (walk.pos, walk.irregular || walk.time_window, walk.broken_lines);
    match end {
        Err(Stop::Incomplete) => Finding::Incomplete,
        Err(Stop::Bad) => Finding::Bad,
        Ok(()) => {
            let record = bytes.get(..len).unwrap_or_default();
            let clean = is_printable_ascii(record);
            if !(clean || is_utf8(record) && controls_are_outside_strings(record)) {
                return Finding::Bad;
            }
            let fields = if unusual { strict::fields(record) } else { walk.found.into_fields(bytes) };
            Finding::Record { len, fields, broken_lines }
        }
    }
}

/// Whether every byte is from `0x20` to `0x7f`, as in nearly every record: it is then valid UTF-8, and no
/// control character stands in a string.
#[inline(always)]
fn is_printable_ascii(record: &[u8]) -> bool {
    // As a signed number a byte beyond ASCII is below the space, too. No early end: that is what makes it fast.
    record.iter().fold(0, |bad, &byte| bad | u8::from((byte as i8) < 0x20)) == 0
}

#[inline(never)]
fn is_utf8(record: &[u8]) -> bool {
    std::str::from_utf8(record).is_ok()
}

/// Whether the control characters of a record that is otherwise valid stand between its tokens.
#[inline(never)]
fn controls_are_outside_strings(record: &[u8]) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    for &byte in record {
        if in_string && byte < 0x20 {
            return false;
        }
        let quote = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        in_string ^= quote;
    }
    true
}

/// Why a walk ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Incomplete,
    Bad,
}

/// The walk over one record. All of it is to live in registers: whatever is not inlined into
/// [`Walk::object`] is a function of its own that takes and gives back values.
struct Walk<'a> {
    bytes: &'a [u8],
    pos: usize,
    /// The special bytes of the 64 from `base` on.
    base: usize,
    mask: u64,
    /// Whether the innermost open bracket is an object's, and a bit for each of those around it.
    in_object: bool,
    outer: [u64; 2],
    depth: u32,
    found: Found,
    /// A bit for each field already seen.
    seen: u8,
    irregular: bool,
    /// It has a `timeWindow`, and maybe its time in it: only the strict parser looks into that.
    time_window: bool,
    broken_lines: bool,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            pos: 0,
            base: 0,
            mask: 0,
            in_object: false,
            outer: [0; 2],
            depth: 0,
            found: Found::default(),
            seen: 0,
            irregular: false,
            time_window: false,
            broken_lines: false,
        }
    }

    /// Walks over the object at the start, to behind its closing brace.
    #[inline(always)]
    fn object(&mut self) -> Result<(), Stop> {
        if self.peek()? != b'{' {
            return Err(Stop::Bad);
        }
        self.push(true)?;
        let mut opened = true;
        loop {
            // At the start of a member or element, or at the end of an empty object or array.
            if !(opened && self.close_empty()?) {
                let field = if self.in_object { self.key()? } else { None };
                opened = self.value(field)?;
                if opened {
                    continue;
                }
            }
            opened = false;
            // Behind a value: up, until one is followed by another.
            loop {
                if self.depth == 0 {
                    return Ok(());
                }
                match self.token()? {
                    b',' => {
                        self.pos += 1;
                        break;
                    }
                    byte if byte == self.closer() => self.pop(),
                    _ => return Err(Stop::Bad),
                }
            }
        }
    }

    /// A key and its colon. The field it names, where it stands in the record itself.
    #[inline(always)]
    fn key(&mut self) -> Result<Option<Field>, Stop> {
        if self.token()? != b'"' {
            return Err(Stop::Bad);
        }
        let (start, end, escaped) = self.string()?;
        if self.token()? != b':' {
            return Err(Stop::Bad);
        }
        self.pos += 1;
        if self.depth != 1 {
            return Ok(None);
        }
        self.irregular |= escaped;
        Ok(Field::at(self.bytes, start, end))
    }

    /// A value. True when it is an object or array that was only opened.
    #[inline(always)]
    fn value(&mut self, field: Option<Field>) -> Result<bool, Stop> {
        if let Some(field) = field {
            self.irregular |= self.seen & field.bit() != 0;
            self.seen |= field.bit();
        }
        let byte = self.token()?;
        if byte == b'"' {
            let (start, end, escaped) = self.string()?;
            if let Some(field) = field {
                self.irregular |= escaped;
                self.found.note(field, start, end);
            }
            return Ok(false);
        }
        if byte == b'{' || byte == b'[' {
            self.push(byte == b'{')?;
            self.time_window |= field == Some(Field::TimeWindow);
            return Ok(true);
        }
        self.pos = match byte {
            b'n' => literal(self.bytes, self.pos, b"null")?,
            b't' => literal(self.bytes, self.pos, b"true")?,
            b'f' => literal(self.bytes, self.pos, b"false")?,
            _ => number(self.bytes, self.pos)?,
        };
        Ok(false)
    }

    /// Passes the closer of an object or array just opened, if it is there.
    #[inline(always)]
    fn close_empty(&mut self) -> Result<bool, Stop> {
        let closes = self.token()? == self.closer();
        if closes {
            self.pop();
        }
        Ok(closes)
    }

    #[inline(always)]
    fn closer(&self) -> u8 {
        if self.in_object { b'}' } else { b']' }
    }

    #[inline(always)]
    fn push(&mut self, object: bool) -> Result<(), Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Bad);
        }
        self.pos += 1;
        self.depth += 1;
        let [low, high] = self.outer;
        self.outer = [low << 1 | u64::from(self.in_object), high << 1 | low >> 63];
        self.in_object = object;
        Ok(())
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.pos += 1;
        self.depth -= 1;
        let [low, high] = self.outer;
        self.in_object = low & 1 == 1;
        self.outer = [low >> 1 | high << 63, high >> 1];
    }

    #[inline(always)]
    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.pos).copied().ok_or(Stop::Incomplete)
    }

    /// The next byte that is not white space; it is not passed.
    #[inline(always)]
    fn token(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        if byte > b' ' {
            return Ok(byte);
        }
        let (pos, broken) = space(self.bytes, self.pos);
        self.pos = pos;
        self.broken_lines |= broken;
        self.peek()
    }

    /// The string at the quote here: the bounds of its content, and whether it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<(usize, usize, bool), Stop> {
        let start = self.pos + 1;
        let inner = start.wrapping_sub(self.base);
        let ahead = if inner < 64 { self.mask >> inner } else { 0 };
        let mut end = start + ahead.trailing_zeros() as usize;
        if ahead == 0 {
            // None is known yet: look at the 64 bytes from here on, enough for most strings.
            (self.base, self.mask) = next_special_block(self.bytes, start)?;
            end = self.base + self.mask.trailing_zeros() as usize;
        }
        let escaped = *self.bytes.get(end).ok_or(Stop::Incomplete)? != b'"';
        if escaped {
            end = escapes(self.bytes, end)?;
        }
        self.pos = end + 1;
        Ok((start, end, escaped))
    }
}

/// The first block of 64 bytes, of those that begin at `base`, that has a special byte; and its mask. Beyond
/// the end of the bytes every bit is set, which the caller tells by the position.
#[inline(always)]
fn next_special_block(bytes: &[u8], mut base: usize) -> Result<(usize, u64), Stop> {
    loop {
        let rest = bytes.get(base..).ok_or(Stop::Incomplete)?;
        let mask = match rest.first_chunk() {
            Some(block) => mask(block),
            None => last_mask(rest),
        };
        if mask != 0 {
            return Ok((base, mask));
        }
        base += 64;
    }
}

/// The mask of fewer than 64 bytes.
#[inline(never)]
fn last_mask(rest: &[u8]) -> u64 {
    let mut block = [b'"'; 64];
    for (to, from) in block.iter_mut().zip(rest) {
        *to = *from;
    }
    mask(&block)
}

/// The end of a string from a special byte at `at` that is not its end.
#[inline(never)]
fn escapes(bytes: &[u8], mut at: usize) -> Result<usize, Stop> {
    loop {
        match bytes.get(at).ok_or(Stop::Incomplete)? {
            b'"' => return Ok(at),
            b'\\' => {}
            _ => {
                at += 1;
                continue;
            }
        }
        at = match bytes.get(at + 1).ok_or(Stop::Incomplete)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at + 2,
            b'u' => {
                for digit in at + 2..at + 6 {
                    if !bytes.get(digit).ok_or(Stop::Incomplete)?.is_ascii_hexdigit() {
                        return Err(Stop::Bad);
                    }
                }
                at + 6
            }
            _ => return Err(Stop::Bad),
        };
    }
}

/// The end of the white space at `pos`, and whether there are line breaks in it.
#[cold]
fn space(bytes: &[u8], mut pos: usize) -> (usize, bool) {
    let mut broken = false;
    while let Some(byte) = bytes.get(pos) {
        match byte {
            b' ' | b'\t' => {}
            b'\n' | b'\r' => broken = true,
            _ => break,
        }
        pos += 1;
    }
    (pos, broken)
}

/// The end of a literal.
#[inline(always)]
fn literal(bytes: &[u8], pos: usize, word: &[u8]) -> Result<usize, Stop> {
    match bytes.get(pos..pos + word.len()) {
        Some(found) if found == word => Ok(pos + word.len()),
        Some(_) => Err(Stop::Bad),
        None => {
            let rest = bytes.get(pos..).unwrap_or_default();
            Err(if word.starts_with(rest) { Stop::Incomplete } else { Stop::Bad })
        }
    }
}

/// The end of a number: `-`? integer fraction? exponent?, no leading zero. What follows it is the caller's
/// matter.
fn number(bytes: &[u8], mut pos: usize) -> Result<usize, Stop> {
    let byte = |pos: usize| bytes.get(pos).copied().ok_or(Stop::Incomplete);
    let digits = |mut pos: usize| {
        if !byte(pos)?.is_ascii_digit() {
            return Err(Stop::Bad);
        }
        while byte(pos)?.is_ascii_digit() {
            pos += 1;
        }
        Ok(pos)
    };
    if byte(pos)? == b'-' {
        pos += 1;
    }
    pos = if byte(pos)? == b'0' { pos + 1 } else { digits(pos)? };
    if byte(pos)? == b'.' {
        pos = digits(pos + 1)?;
    }
    if matches!(byte(pos)?, b'e' | b'E') {
        pos += 1;
        pos += usize::from(matches!(byte(pos)?, b'+' | b'-'));
        pos = digits(pos)?;
    }
    Ok(pos)
}
