//! Typed reading of one group of keys against its table.
//!
//! In: a map of the tree and the rows that it may hold. Out: values of the right type, or `None` after the
//! problem was noted, so that a builder reads all its keys before it gives up and nothing goes unreported.
//! Opening a section reports its unknown and its missing keys.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choice::Choice;
use super::key::{Form, Key, Kind};
use super::problem::{MOST, Origin, Problem, nearest};
use super::support::Support;
use super::value;
use super::yaml::{Entry, Node, Value, clip};

/// What all sections share: the problems so far, and the folder that relative paths start from.
#[derive(Debug)]
pub(super) struct Context {
    problems: RefCell<Vec<Problem>>,
    base: PathBuf,
    features: Features,
}

/// Which features a configuration may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Features {
    /// Those that this build has.
    Built,
    /// All that the key tables know; so that tests can read what later builds will.
    #[cfg(test)]
    Every,
}

impl Context {
    pub(super) fn new(base: PathBuf, features: Features) -> Self {
        Self { problems: RefCell::default(), base, features }
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn problem(&self, origin: &Origin, key: &str, message: impl Into<String>) {
        let mut problems = self.problems.borrow_mut();
        // One more than is shown, so that the reader learns that there are more.
        if problems.len() <= MOST {
            problems.push(Problem { origin: origin.clone(), key: key.to_owned(), message: message.into() });
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value of the tree and its key path.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) node: &'a Node,
    pub(super) path: String,
}

/// The outer shape of what stands at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Absent,
    Scalar,
    List,
    Group,
}

/// One group of keys.
#[derive(Debug)]
pub(super) struct Section<'a> {
    entries: &'a [Entry],
    keys: &'static [Key],
    pub(super) path: String,
    pub(super) origin: Origin,
    pub(super) cx: &'a Context,
}

impl<'a> Section<'a> {
    /// Opens a group, and reports the keys that do not belong there or are missing. A group without content
    /// (`limits:` with all its lines commented out) is an empty one.
    pub(super) fn open(item: &Item<'a>, keys: &'static [Key], cx: &'a Context) -> Option<Self> {
        let entries: &[Entry] = match &item.node.value {
            Value::Map(entries) => entries,
            _ if item.node.is_null() => &[],
            _ => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                let message = format!("expected a group of keys ({})", names.join(", "));
                cx.problem(&item.node.origin, &item.path, message);
                return None;
            }
        };
        let section = Self { entries, keys, path: item.path.clone(), origin: item.node.origin.clone(), cx };
        section.report_strangers();
        section.report_missing();
        Some(section)
    }

    /// A group that the file does not have: every key has its default.
    pub(super) fn absent(path: &str, keys: &'static [Key], cx: &'a Context) -> Self {
        Self { entries: &[], keys, path: path.to_owned(), origin: Origin::Whole, cx }
    }

    /// The group under a key, empty when it is absent.
    pub(super) fn group(&self, name: &str, keys: &'static [Key]) -> Option<Section<'a>> {
        match self.item(name) {
            Some(item) => Section::open(&item, keys, self.cx),
            None => Some(Section::absent(&self.join(name), keys, self.cx)),
        }
    }

    pub(super) fn item(&self, name: &str) -> Option<Item<'a>> {
        debug_assert!(self.row(name).is_some(), "{name} is not in the table of {}", self.path);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        Some(Item { node: &entry.node, path: self.join(name) })
    }

    pub(super) fn shape(&self, name: &str) -> Shape {
        match self.item(name) {
            None => Shape::Absent,
            Some(item) => match item.node.value {
                Value::Scalar(..) | Value::Unresolved => Shape::Scalar,
                Value::List(_) => Shape::List,
                Value::Map(_) => Shape::Group,
            },
        }
    }

    /// The entries of a group whose names the user chose; none when the key is absent.
    pub(super) fn named(&self, name: &str) -> Option<Vec<(&'a Entry, Item<'a>)>> {
        let Some(item) = self.item(name) else { return Some(Vec::new()) };
        let Value::Map(entries) = &item.node.value else {
            self.problem(name, "expected a group, each key a name of your choice");
            return None;
        };
        let at = |entry: &'a Entry| Item { node: &entry.node, path: format!("{}.{}", item.path, entry.key) };
        Some(entries.iter().map(|entry| (entry, at(entry))).collect())
    }

    /// The items of a list; none when the key is absent.
    pub(super) fn list(&self, name: &str) -> Option<Vec<Item<'a>>> {
        let Some(item) = self.item(name) else { return Some(Vec::new()) };
        match &item.node.value {
            Value::List(nodes) => Some(
                nodes
                    .iter()
                    .enumerate()
                    .map(|(index, node)| Item { node, path: format!("{}[{index}]", item.path) })
                    .collect(),
            ),
            _ => {
                self.problem(name, "expected a list");
                None
            }
        }
    }

    /// Every item of a list of scalars.
    pub(super) fn scalars<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let items = self.list(name)?;
        let read: Vec<Option<T>> = items.iter().map(|item| scalar(item, self.cx, &parse)).collect();
        read.into_iter().collect()
    }

    /// Every key and value of a group of texts; none when the key is absent.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<(String, String)>> {
        let read = self.named(name)?.into_iter().map(|(entry, item)| {
            let value = scalar(&item, self.cx, |text| Ok(text.to_owned()))?;
            Some((entry.key.clone(), value))
        });
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// A value that may be absent and has no default: `Some(None)` then, `None` after a problem.
    #[expect(clippy::option_option, reason = "absent and wrong are different answers")]
    pub(super) fn optional<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.item(name) {
            None => Some(None),
            Some(item) => self.scalar_at(name, &item, parse).map(Some),
        }
    }

    fn scalar_at<T>(
        &self,
        name: &str,
        item: &Item<'a>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.row(name).map(|key| &key.kind) {
            // The reader's words describe the form and never repeat the text.
            Some(Kind::Text(Form::Secret)) => {
                scalar(&Item { node: &hidden(item.node), path: item.path.clone() }, self.cx, parse)
            }
            _ => scalar(item, self.cx, parse),
        }
    }

    /// A value that is required (its absence was reported when the section was opened) or has a default.
    pub(super) fn read<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match self.item(name) {
            Some(item) => self.scalar_at(name, &item, parse),
            None => {
                let default = self.row(name)?.default?;
                let parsed = parse(default);
                debug_assert!(parsed.is_ok(), "the default of {}.{name} does not parse", self.path);
                parsed.ok()
            }
        }
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.read(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("expected true or false".into()),
        })
    }

    pub(super) fn count(&self, name: &str) -> Option<u64> {
        let Some(Kind::Count(least, most)) = self.row(name).map(|key| &key.kind) else { return None };
        self.read(name, |text| count(text, *least, *most))
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        let Some(Kind::Duration(least, most)) = self.row(name).map(|key| &key.kind) else { return None };
        self.read(name, |text| bounded(value::duration(text)?, *least, *most, value::show_duration))
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        let Some(Kind::Size(least, most)) = self.row(name).map(|key| &key.kind) else { return None };
        self.read(name, |text| bounded(value::size(text)?, *least, *most, value::show_size))
    }

    pub(super) fn choice<T: Choice>(&self, name: &str) -> Option<T> {
        self.read(name, choice::<T>)
    }

    /// A text that may be absent.
    #[expect(clippy::option_option, reason = "absent and wrong are different answers")]
    pub(super) fn text(&self, name: &str) -> Option<Option<String>> {
        self.optional(name, |text| Ok(text.to_owned()))
    }

    /// A path that may be absent, made absolute.
    #[expect(clippy::option_option, reason = "absent and wrong are different answers")]
    pub(super) fn path_at(&self, name: &str) -> Option<Option<PathBuf>> {
        self.optional(name, |text| Ok(value::absolute(Path::new(text), self.cx.base())))
    }

    /// Notes a problem with a key, or with the section where the key is absent.
    pub(super) fn problem(&self, name: &str, message: impl Into<String>) {
        let entry = self.entries.iter().find(|entry| entry.key == name);
        let origin = entry.map_or(&self.origin, |entry| &entry.origin);
        self.cx.problem(origin, &self.join(name), message);
    }

    /// Refuses a key whose feature this build does not have.
    pub(super) fn needs(&self, name: &str, support: Support) {
        if let (Support::No(why), Features::Built) = (support, self.cx.features) {
            self.problem(name, format!("not supported yet: {why}"));
        }
    }

    fn report_strangers(&self) {
        for entry in self.entries {
            if self.row(&entry.key).is_some() {
                continue;
            }
            let path = self.join(&clip(&entry.key));
            let message = match nearest(&entry.key, self.keys.iter().map(|key| key.name)) {
                Some(word) => format!("unknown key; did you mean \"{word}\"?"),
                None => {
                    let names: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
                    format!("unknown key; here may stand: {}", names.join(", "))
                }
            };
            self.cx.problem(&entry.origin, &path, message);
        }
    }

    fn report_missing(&self) {
        for key in self.keys.iter().filter(|key| key.required) {
            if !self.entries.iter().any(|entry| entry.key == key.name) {
                self.cx.problem(&self.origin, &self.join(key.name), "is missing and required");
            }
        }
    }

    fn row(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Reads one scalar; what is secret or came from the environment is not shown when it is wrong.
pub(super) fn scalar<T>(
    item: &Item<'_>,
    cx: &Context,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    if matches!(item.node.value, Value::Unresolved) {
        return None;
    }
    let Value::Scalar(text, _) = &item.node.value else {
        cx.problem(&item.node.origin, &item.path, "expected one value, not a list or a group");
        return None;
    };
    if text.is_empty() || item.node.is_null() {
        cx.problem(&item.node.origin, &item.path, "has no value; give one or remove the key");
        return None;
    }
    match parse(text) {
        Ok(value) => Some(value),
        Err(message) if item.node.hidden => {
            let message = format!("(value not shown) {message}");
            cx.problem(&item.node.origin, &item.path, message);
            None
        }
        Err(message) => {
            cx.problem(&item.node.origin, &item.path, format!("{:?}: {message}", clip(text)));
            None
        }
    }
}

fn hidden(node: &Node) -> Node {
    Node { hidden: true, ..node.clone() }
}

/// One of the words of a choice, with the nearest one as a hint.
pub(super) fn choice<T: Choice>(text: &str) -> Result<T, String> {
    T::from_name(text).ok_or_else(|| {
        let all = T::NAMES.join(", ");
        match nearest(text, T::NAMES.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"? expected one of {all}"),
            None => format!("expected one of {all}"),
        }
    })
}

/// A whole number within bounds.
pub(super) fn count(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let wrong = || format!("expected a whole number from {least} to {most}");
    let number = text.parse::<u64>().map_err(|_| wrong())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(wrong()) }
}

fn bounded<T: PartialOrd + Copy>(value: T, least: T, most: T, show: fn(T) -> String) -> Result<T, String> {
    if value < least || value > most {
        return Err(format!("expected {} to {}", show(least), show(most)));
    }
    Ok(value)
}

/// A text of one of the plain forms.
pub(super) fn form<T: std::str::FromStr>(form: Form) -> impl Fn(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| format!("expected {}", form.describe()))
}
