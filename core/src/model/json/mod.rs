//! One record as a flat list of borrowed values.
//!
//! In: the bytes of one record, as they stood in the object. Out: a [`Record`], which borrows them: every
//! string and number keeps its very text, so that what is copied out is what came in. Filters, OCSF, ECS and
//! redaction all read this one parse.
//!
//! Invariant: a `Record` is one JSON object after RFC 8259 in valid UTF-8, at most [`MAX_DEPTH`] deep and with
//! at most [`MAX_VALUES`] values. Duplicate keys are kept, each with its value. Anything else is a
//! [`ParseError`] with its offset. Nothing here recurses; the buffers are reused from record to record.

mod path;
mod scan;
mod text;

pub use path::{Path, PathError, Step};
pub(crate) use text::plain_run;
pub use text::{unescape, unescape_lossy};

/// Containers within containers, at most. The deepest real record seen has 11; a limit keeps hostile nesting from growing the stack of open containers.
pub const MAX_DEPTH: usize = 128;

/// Values in one record, at most: 7 MiB of nodes. CloudTrail's own limit of 256 KB per event (1 MB in Lake)
/// gives some ten thousand at the densest that it writes.
pub const MAX_VALUES: usize = 1 << 18;

/// Node capacity that is kept from record to record; what a rare huge record needed beyond it is given back.
const KEPT_NODES: usize = 1 << 13;

/// Why the bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not valid UTF-8.
    #[error("not valid UTF-8 at byte {0}")]
    Utf8(usize),
    /// Not JSON.
    #[error("not JSON at byte {offset}: expected {expected}")]
    Syntax {
        /// Where, counted in bytes from 0.
        offset: usize,
        /// What would have been right.
        expected: &'static str,
    },
    /// JSON, but not an object.
    #[error("a record is a JSON object")]
    NotAnObject,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_VALUES`] values, or 4 GiB or more.
    #[error("more than {MAX_VALUES} values, or 4 GiB")]
    TooLarge,
}

/// The six kinds of JSON values, with the two booleans told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number, of whatever size.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One value. Children follow their container; `next` is the node after the last of them.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    key_start: u32,
    key_end: u32,
    next: u32,
    kind: Kind,
    /// The string (not its key) holds a backslash.
    escaped: bool,
    /// The key holds a backslash.
    key_escaped: bool,
}

/// Parses records, one after the other, into buffers that it keeps.
#[derive(Debug, Default)]
pub struct Parser {
    nodes: Vec<Node>,
    open: Vec<u32>,
}

impl Parser {
    /// A parser without buffers; they grow with the first records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses one record. White space around it is allowed, anything else is not.
    pub fn parse<'p>(&'p mut self, bytes: &'p [u8]) -> Result<Record<'p>, ParseError> {
        let text = std::str::from_utf8(bytes).map_err(|e| ParseError::Utf8(e.valid_up_to()))?;
        if u32::try_from(text.len()).is_err() {
            return Err(ParseError::TooLarge);
        }
        self.nodes.clear();
        self.nodes.shrink_to(KEPT_NODES);
        self.open.clear();
        let lone_surrogate = scan::Scan::new(text, &mut self.nodes, &mut self.open).run()?;
        if self.nodes.first().is_none_or(|root| root.kind != Kind::Object) {
            return Err(ParseError::NotAnObject);
        }
        Ok(Record { text, nodes: &self.nodes, lone_surrogate })
    }
}

/// A parsed record; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Record<'p> {
    text: &'p str,
    nodes: &'p [Node],
    lone_surrogate: bool,
}

impl<'p> Record<'p> {
    /// The record's own bytes.
    pub fn text(self) -> &'p str {
        self.text
    }

    /// The number of values, the record itself among them; ids are below it.
    pub fn len(self) -> usize {
        self.nodes.len()
    }

    /// Never: a record is at least one value.
    pub fn is_empty(self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether a string or key holds half of a surrogate pair: grammatical JSON that is not Unicode text.
    pub fn has_lone_surrogate(self) -> bool {
        self.lone_surrogate
    }

    /// The record as a value.
    pub fn root(self) -> Value<'p> {
        Value { record: self, id: 0 }
    }

    /// The value under a top-level key; the first, if the key occurs twice.
    pub fn get(self, key: &str) -> Option<Value<'p>> {
        self.root().get(key)
    }
}

/// One value of a record.
#[derive(Debug, Clone, Copy)]
pub struct Value<'p> {
    record: Record<'p>,
    id: u32,
}

impl<'p> Value<'p> {
    fn node(self) -> Option<&'p Node> {
        self.record.nodes.get(self.id as usize)
    }

    /// The place of the value in its record: parents before children, in the order of the text.
    pub fn id(self) -> usize {
        self.id as usize
    }

    /// The first id after the value and all that it holds.
    pub fn end_id(self) -> usize {
        self.node().map_or(0, |node| node.next as usize)
    }

    /// What kind of value it is.
    pub fn kind(self) -> Kind {
        self.node().map_or(Kind::Null, |node| node.kind)
    }

    /// The very text of the value: a string with its quotes, a container with all that it holds.
    pub fn text(self) -> &'p str {
        self.node()
            .and_then(|node| self.record.text.get(node.start as usize..node.end as usize))
            .unwrap_or("")
    }

    /// The text between the quotes of a string, escapes as they stand; `None` for other kinds.
    pub fn string(self) -> Option<&'p str> {
        let node = self.node()?;
        if node.kind != Kind::String {
            return None;
        }
        self.record.text.get(node.start as usize + 1..(node.end as usize).checked_sub(1)?)
    }

    /// Whether a string holds escapes.
    pub fn is_escaped(self) -> bool {
        self.node().is_some_and(|node| node.escaped)
    }

    /// The key as it stands in the text, without quotes; empty for array elements and the record itself.
    pub fn key(self) -> &'p str {
        let text = self.record.text;
        self.node().and_then(|node| text.get(node.key_start as usize..node.key_end as usize)).unwrap_or("")
    }

    /// Whether the key, its escapes resolved, is this text.
    pub fn key_is(self, name: &str) -> bool {
        match self.node() {
            Some(node) if node.key_escaped => unescape_lossy(self.key()) == name,
            // Most keys differ in length already.
            Some(node) => {
                node.key_end.wrapping_sub(node.key_start) as usize == name.len() && self.key() == name
            }
            None => false,
        }
    }

    /// The member of an object; the first, if the key occurs twice. `None` for other kinds.
    pub fn get(self, key: &str) -> Option<Value<'p>> {
        if self.kind() != Kind::Object {
            return None;
        }
        self.children().find(|child| child.key_is(key))
    }

    /// The members of an object or the elements of an array; nothing for other kinds.
    pub fn children(self) -> impl Iterator<Item = Value<'p>> {
        let record = self.record;
        let end = self.node().map_or(0, |node| node.next);
        let mut at = self.id.saturating_add(1);
        std::iter::from_fn(move || {
            let node = record.nodes.get(at as usize).filter(|_| at < end)?;
            let child = Value { record, id: at };
            at = node.next;
            Some(child)
        })
    }

    /// Whether it is `null`, `""`, `{}` or `[]`: values that normalized output leaves out.
    pub fn is_blank(self) -> bool {
        match self.kind() {
            Kind::Null => true,
            Kind::String => self.string().is_none_or(str::is_empty),
            Kind::Object | Kind::Array => self.children().next().is_none(),
            Kind::True | Kind::False | Kind::Number => false,
        }
    }
}

#[cfg(test)]
mod tests;
