//! The scanner behind [`super::Parser`]: text in, nodes out. Iterative, so hostile depth costs no stack.

use super::text::plain_run;
use super::{Kind, MAX_DEPTH, MAX_VALUES, Node, ParseError};

/// One pass over one text.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: &'a mut Vec<Node>,
    open: &'a mut Vec<u32>,
    lone_surrogate: bool,
}

/// A key that waits for its value.
#[derive(Clone, Copy, Default)]
struct Key {
    start: u32,
    end: u32,
    escaped: bool,
}

impl<'a> Scan<'a> {
    /// A scan of `text`; the buffers are empty.
    pub(super) fn new(text: &'a str, nodes: &'a mut Vec<Node>, open: &'a mut Vec<u32>) -> Self {
        Self { bytes: text.as_bytes(), at: 0, nodes, open, lone_surrogate: false }
    }

    /// Scans to the end; says whether a lone surrogate was seen.
    pub(super) fn run(mut self) -> Result<bool, ParseError> {
        let mut key = Key::default();
        loop {
            let opened = self.value(key)?;
            key = Key::default();
            if opened {
                let close = self.peek_past_space();
                match (self.container(), close) {
                    (Some(Kind::Object), Some(b'}')) | (Some(Kind::Array), Some(b']')) => {}
                    (Some(Kind::Object), _) => {
                        key = self.key()?;
                        continue;
                    }
                    _ => continue,
                }
            }
            match self.after_value()? {
                Some(next) => key = next,
                None => return Ok(self.lone_surrogate),
            }
        }
    }

    /// Closes what ends here; then the next key (empty in arrays), or `None` at the end of the text.
    fn after_value(&mut self) -> Result<Option<Key>, ParseError> {
        loop {
            let byte = self.peek_past_space();
            match (self.container(), byte) {
                (None, None) => return Ok(None),
                (None, Some(_)) => return Err(self.expected("the end of the record")),
                (Some(_), Some(b'}' | b']')) if self.closes(byte) => self.close(),
                (Some(Kind::Object), Some(b',')) => {
                    self.at += 1;
                    return self.key().map(Some);
                }
                (Some(Kind::Array), Some(b',')) => {
                    self.at += 1;
                    return Ok(Some(Key::default()));
                }
                (Some(Kind::Object), _) => return Err(self.expected(", or }")),
                _ => return Err(self.expected(", or ]")),
            }
        }
    }

    fn closes(&self, byte: Option<u8>) -> bool {
        matches!((self.container(), byte), (Some(Kind::Object), Some(b'}')) | (Some(Kind::Array), Some(b']')))
    }

    fn container(&self) -> Option<Kind> {
        let top = *self.open.last()?;
        self.nodes.get(top as usize).map(|node| node.kind)
    }

    fn close(&mut self) {
        self.at += 1;
        let (end, next) = (self.offset(), self.next_id());
        if let Some(node) = self.open.pop().and_then(|top| self.nodes.get_mut(top as usize)) {
            node.end = end;
            node.next = next;
        }
    }

    /// The text is below 4 GiB and the nodes are below `MAX_VALUES`, so both casts are exact.
    fn offset(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn next_id(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// Scans one value, or the start of a container (`true`).
    fn value(&mut self, key: Key) -> Result<bool, ParseError> {
        let byte = self.peek_past_space();
        if self.nodes.len() >= MAX_VALUES {
            return Err(ParseError::TooLarge);
        }
        let start = self.offset();
        let mut escaped = false;
        let kind = match byte {
            Some(b'"') => {
                self.at += 1;
                escaped = self.string()?;
                Kind::String
            }
            Some(b'{') => self.container_start(Kind::Object)?,
            Some(b'[') => self.container_start(Kind::Array)?,
            Some(b't') => self.literal(b"true", Kind::True)?,
            Some(b'f') => self.literal(b"false", Kind::False)?,
            Some(b'n') => self.literal(b"null", Kind::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.expected("a value")),
        };
        let id = self.next_id();
        self.nodes.push(Node {
            start,
            end: self.offset(),
            key_start: key.start,
            key_end: key.end,
            next: id.saturating_add(1),
            kind,
            escaped,
            key_escaped: key.escaped,
        });
        let opened = matches!(kind, Kind::Object | Kind::Array);
        if opened {
            self.open.push(id);
        }
        Ok(opened)
    }

    fn container_start(&mut self, kind: Kind) -> Result<Kind, ParseError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        self.at += 1;
        Ok(kind)
    }

    fn key(&mut self) -> Result<Key, ParseError> {
        if self.peek_past_space() != Some(b'"') {
            return Err(self.expected("a key"));
        }
        self.at += 1;
        let start = self.offset();
        let escaped = self.string()?;
        let end = self.offset().saturating_sub(1);
        if self.peek_past_space() != Some(b':') {
            return Err(self.expected(":"));
        }
        self.at += 1;
        Ok(Key { start, end, escaped })
    }

    fn literal(&mut self, word: &'static [u8], kind: Kind) -> Result<Kind, ParseError> {
        if self.bytes.get(self.at..self.at + word.len()) != Some(word) {
            return Err(self.expected("true, false or null"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind, ParseError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Scans from after the opening quote to after the closing one; says whether there was an escape.
    fn string(&mut self) -> Result<bool, ParseError> {
        let mut escaped = false;
        loop {
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or(&[]));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.expected("the end of a string, without bare control characters")),
            }
        }
    }

    /// Scans one escape, or a pair of them that is one character.
    fn escape(&mut self) -> Result<(), ParseError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let unit = self.hex()?;
                let pair = self.bytes.get(self.at..self.at + 2) == Some(b"\\u");
                if (0xD800..0xDC00).contains(&unit) && pair {
                    let before = self.at;
                    self.at += 1;
                    if !(0xDC00..0xE000).contains(&self.hex()?) {
                        self.lone_surrogate = true;
                        self.at = before;
                    }
                } else if (0xD800..0xE000).contains(&unit) {
                    self.lone_surrogate = true;
                }
            }
            _ => return Err(self.expected("an escape")),
        }
        Ok(())
    }

    /// Scans `uXXXX`.
    fn hex(&mut self) -> Result<u32, ParseError> {
        self.at += 1;
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or(&[]);
        let mut unit = 0;
        for digit in digits {
            let value = char::from(*digit).to_digit(16).ok_or_else(|| self.expected("four hex digits"))?;
            unit = unit * 16 + value;
        }
        if digits.len() < 4 {
            return Err(self.expected("four hex digits"));
        }
        self.at += 4;
        Ok(unit)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn peek_past_space(&mut self) -> Option<u8> {
        loop {
            let byte = self.peek();
            match byte {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                _ => return byte,
            }
        }
    }

    fn expected(&self, expected: &'static str) -> ParseError {
        ParseError::Syntax { offset: self.at, expected }
    }
}
