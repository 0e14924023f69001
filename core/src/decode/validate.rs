//! Validates one record and finds its fields, in one pass.
//!
//! In: bytes that start with a record's `{`. Out: the record's length and fields, or that it is bad, or that
//! the bytes end before it does. Invariant: what is called a record is exactly one JSON object of RFC 8259
//! (numbers, escapes and all) in valid UTF-8, nested at most [`MAX_DEPTH`] deep; tests compare it with
//! `serde_json`. Lone surrogates in `\u` escapes are valid by that grammar. Nothing is allocated.

use super::chunk::{Fields, Span};
use super::limits::MAX_DEPTH;
use super::mask::Specials;
use super::{strict, time};

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
    match walk.object() {
        Err(Stop::Incomplete) => Finding::Incomplete,
        Err(Stop::Bad) => Finding::Bad,
        Ok(()) => {
            let Some(text) = bytes.get(..walk.pos).and_then(|b| std::str::from_utf8(b).ok()) else {
                return Finding::Bad;
            };
            let fields = if walk.irregular || walk.time_window { strict::fields(text) } else { walk.fields };
            Finding::Record { len: walk.pos, fields, broken_lines: walk.broken_lines }
        }
    }
}

/// Why a walk ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Incomplete,
    Bad,
}

struct Walk<'a> {
    bytes: &'a [u8],
    pos: usize,
    specials: Specials<'a>,
    /// A bit for each open bracket, the innermost lowest: 1 for an object.
    objects: u128,
    depth: u32,
    fields: Fields,
    /// A bit for each field already seen.
    seen: u8,
    irregular: bool,
    /// It has a `timeWindow`, and maybe its time in it: only the strict parser looks into that.
    time_window: bool,
    broken_lines: bool,
}

impl<'a> Walk<'a> {
    #[inline]
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            pos: 0,
            specials: Specials::new(bytes),
            objects: 0,
            depth: 0,
            fields: Fields::default(),
            seen: 0,
            irregular: false,
            time_window: false,
            broken_lines: false,
        }
    }

    /// Walks over the object at the start, to behind its closing brace.
    fn object(&mut self) -> Result<(), Stop> {
        self.expect(b'{')?;
        self.push(true)?;
        let mut opened = true;
        loop {
            // At the start of a member or element, or at the end of an empty object or array.
            if !(opened && self.close_empty()?) {
                let field = if self.objects & 1 == 1 { self.key()? } else { None };
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
        let (start, end, escaped) = self.string()?;
        if self.token()? != b':' {
            return Err(Stop::Bad);
        }
        self.pos += 1;
        if self.depth != 1 {
            return Ok(None);
        }
        self.irregular |= escaped;
        Ok(Field::named(self.bytes.get(start..end).unwrap_or_default()))
    }

    /// A value. True when it is an object or array that was only opened.
    #[inline(always)]
    fn value(&mut self, field: Option<Field>) -> Result<bool, Stop> {
        if let Some(field) = field {
            self.irregular |= self.seen & field.bit() != 0;
            self.seen |= field.bit();
        }
        match self.token()? {
            b'"' => {
                let (start, end, escaped) = self.string()?;
                if let Some(field) = field {
                    self.irregular |= escaped;
                    self.note(field, start, end);
                }
            }
            b'{' => {
                self.pos += 1;
                self.push(true)?;
                self.time_window |= field == Some(Field::TimeWindow);
                return Ok(true);
            }
            b'[' => {
                self.pos += 1;
                self.push(false)?;
                return Ok(true);
            }
            b't' => self.literal(b"true")?,
            b'f' => self.literal(b"false")?,
            b'n' => self.literal(b"null")?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(Stop::Bad),
        }
        Ok(false)
    }

    #[inline(always)]
    fn note(&mut self, field: Field, start: usize, end: usize) {
        let span = Span::new(start..end);
        match field {
            Field::Id => self.fields.id = span,
            Field::Time => self.fields.time = time::parse(self.bytes.get(start..end).unwrap_or_default()),
            Field::Name => self.fields.name = span,
            Field::Source => self.fields.source = span,
            Field::Region => self.fields.region = span,
            Field::Account => self.fields.account = span,
            Field::TimeWindow => {}
        }
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
        if self.objects & 1 == 1 { b'}' } else { b']' }
    }

    #[inline(always)]
    fn push(&mut self, object: bool) -> Result<(), Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Bad);
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        Ok(())
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.pos += 1;
        self.depth -= 1;
        self.objects >>= 1;
    }

    #[inline(always)]
    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.pos).copied().ok_or(Stop::Incomplete)
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek()? != byte {
            return Err(Stop::Bad);
        }
        self.pos += 1;
        Ok(())
    }

    /// The next byte that is not white space; it is not passed.
    #[inline(always)]
    fn token(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        if byte > b' ' { Ok(byte) } else { self.token_behind_space() }
    }

    #[cold]
    fn token_behind_space(&mut self) -> Result<u8, Stop> {
        loop {
            match self.peek()? {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.broken_lines = true,
                byte => return Ok(byte),
            }
            self.pos += 1;
        }
    }

    /// A string: the bounds of its content, and whether it has escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<(usize, usize, bool), Stop> {
        if self.token()? != b'"' {
            return Err(Stop::Bad);
        }
        let start = self.pos + 1;
        let at = self.specials.next(start).ok_or(Stop::Incomplete)?;
        if self.bytes.get(at) == Some(&b'"') {
            self.pos = at + 1;
            return Ok((start, at, false));
        }
        let end = self.string_with_escapes(at)?;
        Ok((start, end, true))
    }

    /// The rest of a string from a special byte that is not its end.
    fn string_with_escapes(&mut self, mut at: usize) -> Result<usize, Stop> {
        loop {
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.pos = at + 1;
                    return Ok(at);
                }
                Some(b'\\') => {}
                _ => return Err(Stop::Bad),
            }
            let next = match self.bytes.get(at + 1).ok_or(Stop::Incomplete)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at + 2,
                b'u' => {
                    for digit in at + 2..at + 6 {
                        let digit = self.bytes.get(digit).ok_or(Stop::Incomplete)?;
                        if !digit.is_ascii_hexdigit() {
                            return Err(Stop::Bad);
                        }
                    }
                    at + 6
                }
                _ => return Err(Stop::Bad),
            };
            at = self.specials.next(next).ok_or(Stop::Incomplete)?;
        }
    }

    #[inline(always)]
    fn literal(&mut self, word: &[u8]) -> Result<(), Stop> {
        let end = self.pos + word.len();
        match self.bytes.get(self.pos..end) {
            Some(found) if found == word => {
                self.pos = end;
                Ok(())
            }
            Some(_) => Err(Stop::Bad),
            None => {
                let rest = self.bytes.get(self.pos..).unwrap_or_default();
                Err(if word.starts_with(rest) { Stop::Incomplete } else { Stop::Bad })
            }
        }
    }

    /// A number: `-`? integer fraction? exponent?, no leading zero. What follows it is the caller's matter.
    fn number(&mut self) -> Result<(), Stop> {
        if self.peek()? == b'-' {
            self.pos += 1;
        }
        if self.peek()? == b'0' {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.peek()? == b'.' {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.pos += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Stop> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Stop::Bad);
        }
        while self.peek()?.is_ascii_digit() {
            self.pos += 1;
        }
        Ok(())
    }
}

/// The fields that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Time,
    Name,
    Source,
    Region,
    Account,
    TimeWindow,
}

impl Field {
    /// The field that a top-level key names. Two keys of one field in one record make it irregular.
    #[inline(always)]
    pub(super) fn named(key: &[u8]) -> Option<Self> {
        match key {
            b"eventID" | b"eventId" => Some(Self::Id),
            b"eventTime" => Some(Self::Time),
            b"eventName" => Some(Self::Name),
            b"eventSource" => Some(Self::Source),
            b"awsRegion" => Some(Self::Region),
            b"recipientAccountId" | b"accountId" => Some(Self::Account),
            b"timeWindow" => Some(Self::TimeWindow),
            _ => None,
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}
