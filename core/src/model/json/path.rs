//! Paths into a record: `userIdentity.sessionContext.sessionIssuer.arn`, `resources[].ARN`,
//! `requestParameters."x-amz-id-2"`, `requestParameters.**.password`.
//!
//! In: the text of a path. Out: its steps. A path is at most 16 steps long; a wrong one is a
//! [`PathError`] with its column. Keys compare with their case, after their escapes are resolved.

use super::{Kind, Value};

/// Steps of one path, at most: deeper than any real record by half.
const MAX_STEPS: usize = 16;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The member with this key.
    Key(Box<str>),
    /// Every element of an array.
    Each,
    /// Every member or element, at any depth below, and the value itself.
    Below,
}

/// A path from the record downwards; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// Why a text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct PathError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub message: &'static str,
}

impl Path {
    /// Parses a path that fills the whole text.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let (path, rest) = Self::parse_start(text, true)?;
        if rest.is_empty() { Ok(path) } else { Err(error(text, rest, "a path ends here")) }
    }

    /// Parses the path at the start of a text; also gives what follows. `**` only where `below` allows it.
    pub fn parse_start(text: &str, below: bool) -> Result<(Self, &str), PathError> {
        let mut steps = Vec::new();
        let mut rest = text;
        let mut below = below;
        loop {
            let (step, after) = parse_step(text, rest, below)?;
            // One `**` visits each value once; several would multiply.
            below &= step != Step::Below;
            steps.push(step);
            rest = after;
            while let Some(after) = rest.strip_prefix("[]") {
                steps.push(Step::Each);
                rest = after;
            }
            if steps.len() > MAX_STEPS {
                return Err(error(text, rest, "a path has at most 16 steps"));
            }
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if steps.last() == Some(&Step::Below) => {
                    return Err(error(text, rest, "a key follows ** after a dot"));
                }
                None => return Ok((Self(steps), rest)),
            }
        }
    }

    /// The steps, from the top.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The first key of the path, where it begins with one.
    pub fn head(&self) -> Option<&str> {
        match self.0.first() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// Calls `found` for each value that the path names, in the order of the text, until it gives `true`;
    /// says whether it did.
    pub fn any<'p>(&self, root: Value<'p>, found: &mut impl FnMut(Value<'p>) -> bool) -> bool {
        walk(&self.0, root, found)
    }
}

fn walk<'p>(steps: &[Step], value: Value<'p>, found: &mut impl FnMut(Value<'p>) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else { return found(value) };
    match step {
        // A path with one value per step needs no list of candidates; of duplicate keys every one counts,
        // so that no planted second member hides from a filter or a redaction.
        Step::Key(key) if value.kind() == Kind::Object => {
            value.children().any(|child| child.key_is(key) && walk(rest, child, found))
        }
        Step::Each if value.kind() == Kind::Array => value.children().any(|child| walk(rest, child, found)),
        Step::Below => walk(rest, value, found) || value.children().any(|child| walk(steps, child, found)),
        _ => false,
    }
}

fn parse_step<'t>(text: &str, rest: &'t str, below: bool) -> Result<(Step, &'t str), PathError> {
    if let Some(after) = rest.strip_prefix("**") {
        return if below {
            Ok((Step::Below, after))
        } else {
            Err(error(text, rest, "** is allowed once, in redaction paths"))
        };
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let end = quoted.find('"').ok_or_else(|| error(text, rest, "this quote is not closed"))?;
        let (key, after) = quoted.split_at(end);
        return Ok((Step::Key(key.into()), after.strip_prefix('"').unwrap_or("")));
    }
    let end = rest.find(|c: char| !is_key_char(c)).unwrap_or(rest.len());
    let (key, after) = rest.split_at(end);
    if key.is_empty() {
        return Err(error(text, rest, "expected a field name"));
    }
    Ok((Step::Key(key.into()), after))
}

/// What a key may hold without quotes.
pub(crate) fn is_key_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$')
}

fn error(text: &str, rest: &str, message: &'static str) -> PathError {
    let before = text.len().saturating_sub(rest.len());
    let column = text.get(..before).map_or(before, |seen| seen.chars().count()) + 1;
    PathError { column, message }
}
