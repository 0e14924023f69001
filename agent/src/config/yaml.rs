//! YAML text to a tree that knows where everything stands.
//!
//! In: the file's text, at most [`MAX_FILE`] bytes. Out: one tree of maps, lists and scalars with line and
//! column. Invariants: no anchors, aliases or tags (so the tree is never larger than the text), no duplicate
//! keys, at most [`MAX_DEPTH`] levels, one document. Scalars stay text: the key decides what a value is, never
//! its quotes, so an account id keeps its leading zeros. Failure: problems with positions; a text that is not
//! YAML gives one.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::problem::{Origin, Problem};

/// The largest configuration file: 1 MiB is some ten thousand trails.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The deepest nesting; the deepest key there is lies at six.
pub(super) const MAX_DEPTH: usize = 16;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
    /// Whether a part of it came from the environment, and so must not be shown.
    pub(super) hidden: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The text, and whether it stood without quotes.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A scalar whose reference to the environment could not be resolved; the problem is noted already.
    Unresolved,
}

/// One line of a map.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Node {
    /// `key:` with nothing, `~` or `null` behind it.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, true) if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The node of a map's key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }
}

/// Parses a file. Problems that leave a tree (duplicate keys, tags) come with it.
pub(super) fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut reader = Reader { parser: Parser::new_from_str(text), problems: Vec::new() };
    let tree = match reader.document() {
        Ok(tree) => tree,
        Err(problem) => {
            reader.problems.push(problem);
            None
        }
    };
    (tree, reader.problems)
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Option<Node>, Problem> {
        let mut tree = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(_) if tree.is_some() => {
                    return Err(problem(span, "a second document; keep one per file"));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                event => tree = Some(self.node(event, span, 0)?),
            }
        }
        Ok(tree)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Problem> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let at = *error.marker();
                Err(problem(Span::empty(at), &format!("not valid YAML: {}", error.info())))
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        if depth >= MAX_DEPTH {
            return Err(problem(span, "nested too deeply"));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                Value::Scalar(text.into_owned(), style == ScalarStyle::Plain)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                Value::List(self.list(depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some());
                Value::Map(self.map(depth)?)
            }
            Event::Alias(_) => {
                return Err(problem(span, "aliases (*name) are not read; write the value out"));
            }
            _ => return Err(problem(span, "not valid YAML: a value is missing")),
        };
        Ok(Node { value, origin: origin(span), hidden: false })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            items.push(self.node(event, span, depth + 1)?);
        }
        Ok(items)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let Event::Scalar(key, _, anchor, tag) = event else {
                return Err(problem(span, "a key must be a word"));
            };
            self.refuse(span, anchor, tag.is_some());
            let key = key.into_owned();
            let Some((event, value_span)) = self.next()? else { break };
            let node = self.node(event, value_span, depth + 1)?;
            if let Some(first) = seen.insert(key.clone(), span.start.line()) {
                let message = format!("key {:?} stands here twice; first on line {first}", clip(&key));
                self.problems.push(problem(span, &message));
            } else {
                entries.push(Entry { key, origin: origin(span), node });
            }
        }
        Ok(entries)
    }

    fn refuse(&mut self, span: Span, anchor: usize, tag: bool) {
        if anchor != 0 {
            self.problems.push(problem(span, "anchors (&name) are not read; write the value out"));
        }
        if tag {
            self.problems.push(problem(span, "tags (!name) are not read; the key decides what a value is"));
        }
    }
}

/// At most 80 characters of a text, for messages.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

fn origin(span: Span) -> Origin {
    Origin::File { line: span.start.line(), column: span.start.col() + 1 }
}

fn problem(span: Span, message: &str) -> Problem {
    Problem { origin: origin(span), key: String::new(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        parse(text).1.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn positions_count_from_one() {
        let (tree, problems) = parse("a:\n  b: [x, 'y']\n");
        assert!(problems.is_empty());
        let tree = tree.unwrap();
        let list = tree.get("a").unwrap().get("b").unwrap();
        assert_eq!(list.origin, Origin::File { line: 2, column: 6 });
        let Value::List(items) = &list.value else { panic!() };
        assert_eq!(items[1].origin, Origin::File { line: 2, column: 10 });
    }

    #[test]
    fn what_could_grow_is_refused() {
        assert_eq!(messages("a: &x [1]\nb: *x\n").len(), 2);
        assert_eq!(messages("a: !!str 1\n").len(), 1);
        assert_eq!(messages("a: 1\na: 2\n"), ["key \"a\" stands here twice; first on line 1"]);
        assert_eq!(messages("a: 1\n---\nb: 2\n"), ["a second document; keep one per file"]);
        assert_eq!(messages(&"[".repeat(100_000)).len(), 1);
        assert_eq!(messages(&"- ".repeat(100_000)).len(), 1);
        assert_eq!(messages(&"a: {".repeat(200)).len(), 1);
    }

    #[test]
    fn an_empty_text_has_no_tree() {
        for text in ["", "# only words\n", "---\n"] {
            assert!(parse(text).0.is_none_or(|tree| tree.is_null()), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_brings_it_down(text in "[ \\n\\t:\\-\\[\\]{}&*!|>'\"#%@,?a-c0-2~é]{0,200}") {
            let _ = parse(&text);
        }
    }
}
