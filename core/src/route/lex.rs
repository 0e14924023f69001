//! The words of a filter. In: its text. Out: tokens with their places, or an error at a place.

use crate::model::json::Path;

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `and`, `or`, `not`, `in`, `matches`, `startsWith`, `exists`.
    Word(Word),
    /// A path into the record.
    Path(Path),
    /// A string, with its escapes resolved.
    Text(String),
    /// A number, as it is written.
    Number(String),
    /// `true` or `false`.
    Boolean(bool),
    /// `null`.
    Null,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    ListOpen,
    /// `]`
    ListClose,
    /// `,`
    Comma,
}

/// The words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Both.
    And,
    /// One of both.
    Or,
    /// The contrary.
    Not,
    /// One of a list.
    In,
    /// A regular expression.
    Matches,
    /// A prefix.
    StartsWith,
    /// Is there, and not `null`.
    Exists,
}

/// A token and its place, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// The token.
    pub(super) token: Token,
    /// Where it begins.
    pub(super) at: usize,
}

/// A message and its place, in bytes.
pub(super) type Fault = (usize, String);

/// Splits a filter into tokens. Where a value stands, a string is a value; where a field stands, it is the
/// first key of a path: the token before decides.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Fault> {
    let mut found: Vec<Placed> = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(found);
        }
        let wants_value = found.last().is_some_and(|last| {
            matches!(
                last.token,
                Token::Equal
                    | Token::NotEqual
                    | Token::ListOpen
                    | Token::Comma
                    | Token::Word(Word::Matches | Word::StartsWith)
            )
        });
        let (token, length) =
            token(trimmed, wants_value).map_err(|(place, message)| (at + place, message))?;
        found.push(Placed { token, at });
        at += length;
    }
    Ok(found)
}

/// The token at the start of a text that is not empty, and its length.
fn token(text: &str, wants_value: bool) -> Result<(Token, usize), Fault> {
    for (symbol, token) in [
        ("==", Token::Equal),
        ("!=", Token::NotEqual),
        ("(", Token::Open),
        (")", Token::Close),
        ("[", Token::ListOpen),
        ("]", Token::ListClose),
        (",", Token::Comma),
    ] {
        if text.starts_with(symbol) {
            return Ok((token, symbol.len()));
        }
    }
    match text.as_bytes().first() {
        Some(b'"') if wants_value => string(text),
        Some(b'-' | b'0'..=b'9') => number(text),
        Some(b'=') => Err((0, "expected == to compare".to_owned())),
        Some(b'&') => Err((0, "expected and".to_owned())),
        Some(b'|') => Err((0, "expected or".to_owned())),
        Some(b'!') => Err((0, "expected not, or != to compare".to_owned())),
        Some(b'\'') => Err((0, "strings are in double quotes".to_owned())),
        _ => word_or_path(text),
    }
}

fn string(text: &str) -> Result<(Token, usize), Fault> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let quoted = text.get(..=at).unwrap_or("");
                let plain = serde_json::from_str(quoted)
                    .map_err(|error| (0, format!("not a JSON string: {error}")))?;
                return Ok((Token::Text(plain), at + 1));
            }
            _ => {}
        }
    }
    Err((0, "this string is not closed".to_owned()))
}

fn number(text: &str) -> Result<(Token, usize), Fault> {
    let end =
        text.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(text.len());
    let number = text.get(..end).unwrap_or("");
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Token::Number(number.to_owned()), end)),
        _ => Err((0, format!("{number:?} is not a number"))),
    }
}

fn word_or_path(text: &str) -> Result<(Token, usize), Fault> {
    let (path, rest) = Path::parse_start(text, false)
        .map_err(|error| (byte_of(text, error.column), error.message.to_owned()))?;
    let length = text.len() - rest.len();
    let token = match text.get(..length).unwrap_or("") {
        "and" => Token::Word(Word::And),
        "or" => Token::Word(Word::Or),
        "not" => Token::Word(Word::Not),
        "in" => Token::Word(Word::In),
        "matches" => Token::Word(Word::Matches),
        "startsWith" => Token::Word(Word::StartsWith),
        "exists" => Token::Word(Word::Exists),
        "true" => Token::Boolean(true),
        "false" => Token::Boolean(false),
        "null" => Token::Null,
        _ => Token::Path(path),
    };
    Ok((token, length))
}

fn byte_of(text: &str, column: usize) -> usize {
    text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at)
}
