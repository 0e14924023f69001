//! JSON string text to and from plain text. Input is the text between the quotes of a string that the scanner
//! has accepted; other input gives replacement characters, never an error.

use std::borrow::Cow;

/// The plain text of a string; borrowed when it holds no escape. `None` where it holds half of a surrogate
/// pair, which no text can hold.
pub fn unescape(escaped: &str) -> Option<Cow<'_, str>> {
    if !escaped.contains('\\') {
        return Some(Cow::Borrowed(escaped));
    }
    let mut out = String::with_capacity(escaped.len());
    decode(escaped, &mut out).then_some(Cow::Owned(out))
}

/// Like [`unescape`], with U+FFFD for half a surrogate pair: good for comparing, not for writing.
pub fn unescape_lossy(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains('\\') {
        return Cow::Borrowed(escaped);
    }
    let mut out = String::with_capacity(escaped.len());
    decode(escaped, &mut out);
    Cow::Owned(out)
}

/// The length of the run at the start of `bytes` that a JSON string holds as it stands: no quote, no backslash,
/// no control character. Looks at eight bytes at a time.
#[inline]
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest marked byte is exact; a borrow can only mark bytes above it.
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut run = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        let found = zero_byte(word ^ (ONES * u64::from(b'"')))
            | zero_byte(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH);
        if found != 0 {
            return run + found.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    run + rest.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count()
}

/// Appends the plain text; `false` when a replacement character had to stand in.
fn decode(escaped: &str, out: &mut String) -> bool {
    let mut faithful = true;
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let plain = match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (decoded, used) = unicode(after);
                out.push(decoded.unwrap_or('\u{fffd}'));
                faithful &= decoded.is_some();
                rest = after.get(used..).unwrap_or("");
                continue;
            }
            Some(same) => same,
            None => return false,
        };
        out.push(plain);
        rest = chars.as_str();
    }
    out.push_str(rest);
    faithful
}

/// Reads `uXXXX`, or `uXXXX\uXXXX` where that is a pair; the character and the bytes used.
fn unicode(text: &str) -> (Option<char>, usize) {
    let unit = |from: usize| text.get(from..from + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(1) else { return (None, text.len().min(1)) };
    if !(0xD800..0xE000).contains(&first) {
        return (char::from_u32(first), 5);
    }
    let second = unit(7).filter(|_| first < 0xDC00 && text.get(5..7) == Some("\\u"));
    if let Some(second @ 0xDC00..0xE000) = second {
        return (char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)), 11);
    }
    (None, 5)
}
