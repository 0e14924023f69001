//! A compiled filter, and what it says of a record.

use std::borrow::Cow;

use regex::Regex;

use crate::model::json::{Kind, Path, Record, Value, unescape_lossy};

/// A filter, or a part of one.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// One of them holds.
    Any(Vec<Expression>),
    /// All of them hold.
    All(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// One of the values that the path names passes the test.
    Test(Path, Test),
}

/// What is asked of a value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// It is this value.
    Equal(Constant),
    /// It is one of these: strings, sorted, and others.
    OneOf(Vec<Box<str>>, Vec<Constant>),
    /// It is a string in which this is found.
    Matches(Box<Regex>),
    /// It is a string that begins so.
    StartsWith(Box<str>),
    /// It is not `null`.
    Exists,
    /// It is `true`.
    IsTrue,
}

/// A value that a filter names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    /// A string.
    Text(Box<str>),
    /// A number that is an integer.
    Integer(i128),
    /// Another number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// `null`, and what is not there.
    Null,
}

impl Expression {
    /// One of several; itself, if it is one.
    pub(super) fn any(parts: Vec<Expression>) -> Self {
        Self::join(parts, Self::Any)
    }

    /// All of several; itself, if it is one.
    pub(super) fn all(parts: Vec<Expression>) -> Self {
        Self::join(parts, Self::All)
    }

    fn join(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Self) -> Self {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                join(parts)
            }
            None => join(parts),
        }
    }

    /// Whether it holds for a record.
    pub(super) fn holds(&self, record: Record<'_>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Not(part) => !part.holds(record),
            Self::Test(path, test) => {
                let mut is_there = false;
                let passed = path.any(record.root(), &mut |value| {
                    is_there = true;
                    test.passes(value)
                });
                passed || (!is_there && test.wants_nothing())
            }
        }
    }
}

impl Test {
    /// A list, ready to be searched.
    pub(super) fn one_of(values: Vec<Constant>) -> Self {
        let mut texts = Vec::new();
        let mut others = Vec::new();
        for value in values {
            match value {
                Constant::Text(text) => texts.push(text),
                other => others.push(other),
            }
        }
        texts.sort_unstable();
        Self::OneOf(texts, others)
    }

    /// Whether a field that is not there passes.
    fn wants_nothing(&self) -> bool {
        match self {
            Self::Equal(constant) => *constant == Constant::Null,
            Self::OneOf(_, others) => others.contains(&Constant::Null),
            Self::Matches(_) | Self::StartsWith(_) | Self::Exists | Self::IsTrue => false,
        }
    }

    fn passes(&self, value: Value<'_>) -> bool {
        match self {
            Self::Equal(constant) => constant.equals(value),
            Self::OneOf(texts, others) => {
                let is_text = text(value)
                    .is_some_and(|text| texts.binary_search_by(|other| (**other).cmp(&*text)).is_ok());
                is_text || others.iter().any(|other| other.equals(value))
            }
            Self::Matches(regex) => text(value).is_some_and(|text| regex.is_match(&text)),
            Self::StartsWith(prefix) => text(value).is_some_and(|text| text.starts_with(&**prefix)),
            Self::Exists => value.kind() != Kind::Null,
            Self::IsTrue => Constant::Boolean(true).equals(value),
        }
    }
}

impl Constant {
    /// A number; the lexer has seen that it is one.
    pub(super) fn number(text: &str) -> Self {
        match text.parse() {
            Ok(integer) => Self::Integer(integer),
            // Beyond f64 a number is infinite, and equals nothing.
            Err(_) => Self::Float(text.parse().unwrap_or(f64::INFINITY)),
        }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        match self {
            Self::Text(expected) => text(value).is_some_and(|text| *text == **expected),
            Self::Boolean(expected) => match value.kind() {
                Kind::True => *expected,
                Kind::False => !*expected,
                Kind::String => value.string() == Some(if *expected { "true" } else { "false" }),
                _ => false,
            },
            Self::Null => value.kind() == Kind::Null,
            Self::Integer(_) | Self::Float(_) => {
                value.kind() == Kind::Number && self.equals_number(&Self::number(value.text()))
            }
        }
    }

    fn equals_number(&self, other: &Self) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "an integer beside a fraction compares as a fraction")]
        let float = |number: &Self| match number {
            Self::Integer(integer) => *integer as f64,
            Self::Float(float) => *float,
            _ => f64::NAN,
        };
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            _ => {
                let (a, b) = (float(self), float(other));
                a.is_finite() && a == b
            }
        }
    }
}

/// The plain text of a string.
fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    value.string().map(unescape_lossy)
}
