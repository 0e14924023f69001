//! Routing: which records a sink gets, by a filter expression over their fields.
//!
//! In: the text of a filter, once, and parsed records. Out: for each record, whether the sink gets it. What it
//! does not get is *filtered*, and counted in the books. The language is small, and this is all of it:
//!
//! ```text
//! filter     = term { "or" term }          term = factor { "and" factor }
//! factor     = "not" factor | "(" filter ")" | "exists" path | path [ test ]
//! test       = ("==" | "!=") value | "in" "[" value { "," value } "]" | "matches" string | "startsWith" string
//! path       = key { "." key | "[]" }      key = name | "\"" any text "\""
//! value      = string | number | true | false | null
//! ```
//!
//! - A string is in double quotes with JSON's escapes. Names are case-sensitive, operators too.
//! - A path names every value that it reaches: `resources[].ARN`. A test holds when it holds for one of them;
//!   `!=` is `not ==`. A key that is not plain (`x-amz-id-2` is) goes in quotes.
//! - `== null` holds for `null` and for what is not there; `exists` for what is there and not `null`.
//! - A path alone holds for `true`. CloudTrail writes some booleans as strings (`mfaAuthenticated: "false"`),
//!   so `true` equals the boolean and the string.
//! - Numbers compare by value: `1371` equals `1371.0`. Nothing else is converted.
//! - `matches` searches with a regular expression of the `regex` crate; anchor it with `^` and `$`.
//!
//! Invariant: a compiled filter answers for every record, in time linear in the record. A text that does not
//! compile is a [`FilterError`] with its column. Limits: 16 KiB of text, 32 levels of parentheses, 10,000 values
//! in a list, 1 MiB per compiled regular expression.

mod compile;
mod eval;
mod lex;

use crate::model::json::Record;

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter, column {column}: {message}")]
pub struct FilterError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong there, and what would be right.
    pub message: String,
}

/// A compiled filter. Cheap to share between threads.
#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    expression: eval::Expression,
}

impl Filter {
    /// Compiles a filter.
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        let expression = compile::compile(text)?;
        Ok(Self { text: text.to_owned(), expression })
    }

    /// Whether the sink gets this record.
    pub fn matches(&self, record: Record<'_>) -> bool {
        self.expression.holds(record)
    }

    /// The text that it was compiled from, for the journal.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests;
