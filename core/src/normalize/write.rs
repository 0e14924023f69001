//! Writing JSON into a byte buffer, without trees and without allocating.
//!
//! In: keys and values. Out: members, separated by commas, appended to the buffer. Keys are constants of plain
//! ASCII; string values are either *JSON text* (between quotes, taken from a parsed record, written as it
//! stands) or *plain text* (escaped here). Invariant: what stands in the buffer is a prefix of valid JSON.

use crate::model::json::plain_run;

use super::RepeatKey;
use super::time::utc_into;

/// Appends JSON to a buffer.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    /// A writer at the end of `out`.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Where the next byte goes; for [`Writer::truncate`].
    pub(super) fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written since `position`.
    pub(super) fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Whether anything stands between the last opening brace or bracket and here.
    fn is_first(&self) -> bool {
        matches!(self.out.last(), Some(b'{' | b'['))
    }

    /// Writes the comma that separates this member or element from the one before.
    pub(super) fn separate(&mut self) {
        if !self.is_first() {
            self.out.push(b',');
        }
    }

    /// Writes bytes that are JSON at this place.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes a key and its colon.
    pub(super) fn key(&mut self, key: &str) {
        self.out.reserve(key.len() + 4);
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A member whose value is JSON text of a string.
    pub(super) fn string(&mut self, key: &str, json_text: &str) {
        self.key(key);
        self.quoted(json_text);
    }

    /// JSON text of a string, in quotes.
    pub(super) fn quoted(&mut self, json_text: &str) {
        self.out.reserve(json_text.len() + 2);
        self.out.push(b'"');
        self.out.extend_from_slice(json_text.as_bytes());
        self.out.push(b'"');
    }

    /// A member whose value is plain text.
    pub(super) fn plain(&mut self, key: &str, text: &str) {
        self.key(key);
        self.out.push(b'"');
        escape_into(text, self.out);
        self.out.push(b'"');
    }

    /// Plain text inside quotes that are written elsewhere.
    pub(super) fn escaped(&mut self, text: &str) {
        escape_into(text, self.out);
    }

    /// A member with JSON as it stands.
    pub(super) fn json(&mut self, key: &str, json: &str) {
        self.key(key);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A member with an integer.
    pub(super) fn integer(&mut self, key: &str, number: i64) {
        self.key(key);
        integer_into(number, self.out);
    }

    /// A member with a time in RFC 3339, from milliseconds since the epoch.
    pub(super) fn date(&mut self, key: &str, millis: i64) {
        self.key(key);
        self.out.push(b'"');
        utc_into(millis, self.out);
        self.out.push(b'"');
    }

    /// A member with an integer in quotes.
    pub(super) fn quoted_integer(&mut self, key: &str, number: i64) {
        self.key(key);
        self.out.push(b'"');
        integer_into(number, self.out);
        self.out.push(b'"');
    }

    /// A member with the text of a repeat key.
    pub(super) fn repeat_key(&mut self, key: &str, repeat: &RepeatKey<'_>) {
        self.key(key);
        self.out.push(b'"');
        let account = repeat.account.as_u64();
        // An account has twelve digits; one more in front keeps the leading zeros.
        let start = self.out.len();
        integer_into(i64::try_from(account).unwrap_or(0) + 1_000_000_000_000, self.out);
        self.out.remove(start);
        self.out.push(b'/');
        if repeat.id.is_empty() {
            hex_into(repeat.id_hash, self.out);
        } else {
            escape_into(repeat.id, self.out);
        }
        self.out.push(b'/');
        hex_into(repeat.content, self.out);
        self.out.push(b'"');
    }

    /// A member with a boolean.
    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }
}

/// Appends plain text as JSON string text.
pub(super) fn escape_into(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    loop {
        let (before, after) = rest.split_at(plain_run(rest));
        out.extend_from_slice(before);
        let Some((&byte, after)) = after.split_first() else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                for digit in [control >> 4, control & 15] {
                    out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
                }
            }
        }
        rest = after;
    }
}

/// Appends 32 hex digits.
fn hex_into(number: u128, out: &mut Vec<u8>) {
    for byte in number.to_be_bytes() {
        for digit in [byte >> 4, byte & 15] {
            out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
    }
}

/// Appends an integer in decimal digits.
pub(super) fn integer_into(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = number.unsigned_abs();
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        // The remainder is below ten.
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or(&[]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_text_survives(text in any::<String>()) {
            let mut out = vec![b'"'];
            escape_into(&text, &mut out);
            out.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn a_repeat_key_reads_as_it_displays(account in 0..1_000_000_000_000_u64, id in "[a-zA-Z0-9-]{0,40}", hashes in any::<(u128, u128)>()) {
            let account = crate::model::AccountId::from_u64(account).unwrap();
            let key = RepeatKey { account, id: &id, id_hash: hashes.0, content: hashes.1 };
            let mut out = Vec::new();
            Writer::new(&mut out).repeat_key("k", &key);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!(",\"k\":\"{key}\""));
        }

        #[test]
        fn integers_are_decimal(number in any::<i64>()) {
            let mut out = Vec::new();
            integer_into(number, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn members_are_separated() {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.bytes(b"{");
        w.string("a", r"x\u0041");
        w.plain("b", "q\"\u{1}");
        w.integer("c", i64::MIN);
        w.boolean("d", false);
        w.json("e", "[1.0]");
        w.bytes(b"}");
        let text = r#"{"a":"x\u0041","b":"q\"\u0001","c":-9223372036854775808,"d":false,"e":[1.0]}"#;
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
