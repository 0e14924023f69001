//! The grammar: tokens in, an expression out. Recursive descent, at most [`MAX_DEPTH`] deep.

use regex::RegexBuilder;

use crate::model::json::Path;

use super::FilterError;
use super::eval::{Constant, Expression, Test};
use super::lex::{Fault, Placed, Token, Word, tokens};

/// Bytes of a filter, at most; a longer one belongs into several sinks.
const MAX_TEXT: usize = 16 * 1024;
/// Parentheses and `not`s within each other, at most.
const MAX_DEPTH: usize = 32;
/// Values of one list, at most.
const MAX_LIST: usize = 10_000;
/// Memory of one compiled regular expression, and of its lazy automaton, at most.
const MAX_REGEX: usize = 1 << 20;

/// Compiles the text of a filter.
pub(super) fn compile(text: &str) -> Result<Expression, FilterError> {
    compile_at(text).map_err(|(at, message)| {
        let column = text.char_indices().take_while(|(place, _)| *place < at).count() + 1;
        FilterError { column, message }
    })
}

fn compile_at(text: &str) -> Result<Expression, Fault> {
    if text.len() > MAX_TEXT {
        return Err((MAX_TEXT, format!("a filter has at most {MAX_TEXT} bytes")));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.len() };
    let expression = parser.any_of(0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(Token::Close) => Err(parser.fault("no parenthesis is open here")),
        Some(_) => Err(parser.fault("expected and, or, or the end of the filter")),
    }
}

struct Parser<'t> {
    tokens: &'t [Placed],
    at: usize,
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn take(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        (self.tokens.get(self.at).map_or(self.end, |placed| placed.at), message.into())
    }

    fn any_of(&mut self, depth: usize) -> Result<Expression, Fault> {
        let mut parts = vec![self.all_of(depth)?];
        while self.take(&Token::Word(Word::Or)) {
            parts.push(self.all_of(depth)?);
        }
        Ok(Expression::any(parts))
    }

    fn all_of(&mut self, depth: usize) -> Result<Expression, Fault> {
        let mut parts = vec![self.factor(depth)?];
        while self.take(&Token::Word(Word::And)) {
            parts.push(self.factor(depth)?);
        }
        Ok(Expression::all(parts))
    }

    fn factor(&mut self, depth: usize) -> Result<Expression, Fault> {
        if depth >= MAX_DEPTH {
            return Err(self.fault(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if self.take(&Token::Word(Word::Not)) {
            return Ok(Expression::Not(Box::new(self.factor(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inside = self.any_of(depth + 1)?;
            return if self.take(&Token::Close) { Ok(inside) } else { Err(self.fault("expected )")) };
        }
        if self.take(&Token::Word(Word::Exists)) {
            let path = self.path("expected a field after exists")?;
            return Ok(Expression::Test(path, Test::Exists));
        }
        let path = self.path("expected a field, not, exists or (")?;
        self.test(path)
    }

    fn path(&mut self, message: &str) -> Result<Path, Fault> {
        let Some(Token::Path(path)) = self.peek() else { return Err(self.fault(message)) };
        let path = path.clone();
        self.at += 1;
        Ok(path)
    }

    fn test(&mut self, path: Path) -> Result<Expression, Fault> {
        let test = match self.peek() {
            Some(Token::Equal) => {
                self.at += 1;
                Test::Equal(self.constant()?)
            }
            Some(Token::NotEqual) => {
                self.at += 1;
                let test = Test::Equal(self.constant()?);
                return Ok(Expression::Not(Box::new(Expression::Test(path, test))));
            }
            Some(Token::Word(Word::In)) => {
                self.at += 1;
                Test::one_of(self.list()?)
            }
            Some(Token::Word(Word::Matches)) => {
                self.at += 1;
                self.regex()?
            }
            Some(Token::Word(Word::StartsWith)) => {
                self.at += 1;
                Test::StartsWith(self.text("expected a string after startsWith")?.into())
            }
            _ => Test::IsTrue,
        };
        Ok(Expression::Test(path, test))
    }

    fn constant(&mut self) -> Result<Constant, Fault> {
        let constant = match self.peek() {
            Some(Token::Text(text)) => Constant::Text(text.as_str().into()),
            Some(Token::Number(number)) => Constant::number(number),
            Some(Token::Boolean(truth)) => Constant::Boolean(*truth),
            Some(Token::Null) => Constant::Null,
            _ => return Err(self.fault("expected a value: a string, a number, true, false or null")),
        };
        self.at += 1;
        Ok(constant)
    }

    fn list(&mut self) -> Result<Vec<Constant>, Fault> {
        if !self.take(&Token::ListOpen) {
            return Err(self.fault("expected [ after in"));
        }
        let mut values = vec![self.constant()?];
        while self.take(&Token::Comma) {
            values.push(self.constant()?);
        }
        if !self.take(&Token::ListClose) {
            return Err(self.fault("expected , or ]"));
        }
        if values.len() > MAX_LIST {
            return Err(self.fault(format!("a list has at most {MAX_LIST} values")));
        }
        Ok(values)
    }

    fn text(&mut self, message: &str) -> Result<String, Fault> {
        let Some(Token::Text(text)) = self.peek() else { return Err(self.fault(message)) };
        let text = text.clone();
        self.at += 1;
        Ok(text)
    }

    fn regex(&mut self) -> Result<Test, Fault> {
        let place = self.fault("").0;
        let text = self.text("expected a string after matches")?;
        let built = RegexBuilder::new(&text).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
        let reason = |error: regex::Error| {
            // The first lines draw the expression; the last says what is wrong with it.
            let text = error.to_string();
            text.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned()
        };
        built.map(|regex| Test::Matches(Box::new(regex))).map_err(|error| (place, reason(error)))
    }
}
