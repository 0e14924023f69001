//! Answers of `ListPublicKeys`, read and written as the AWS CLI prints them.
//!
//! In: JSON, or keys. Out: keys, or the JSON that `aws cloudtrail list-public-keys` prints, so that what one
//! program saved the other can read. Failure: which key of the list lacks what; a list that is cut short is
//! refused, since it would make genuine digests look unsigned. Source: API reference `ListPublicKeys`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::keys::PublicKey;

/// Why an answer of `ListPublicKeys` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyListError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// No list of keys in it.
    #[error("no PublicKeyList in it; expected the output of `aws cloudtrail list-public-keys`")]
    NoList,
    /// A key of the list is not well formed.
    #[error("key {0} of the list has no usable {1}")]
    Key(usize, &'static str),
    /// The answer goes on elsewhere: a short list would make genuine digests look unsigned.
    #[error("the answer is cut short by a NextToken; save the whole list")]
    Partial,
}

/// Reads an answer of `ListPublicKeys`: the API's JSON or the output of the AWS CLI. Lenient about case and
/// about how times are written (numbers, numbers as text, ISO 8601), strict about everything else.
pub fn parse_public_keys(json: &[u8]) -> Result<Vec<PublicKey>, KeyListError> {
    let answer: Value =
        serde_json::from_slice(json).map_err(|error| KeyListError::Json(error.to_string()))?;
    if field(&answer, "NextToken").is_some_and(|token| !token.is_null()) {
        return Err(KeyListError::Partial);
    }
    let list = field(&answer, "PublicKeyList").and_then(Value::as_array).ok_or(KeyListError::NoList)?;
    list.iter().enumerate().map(|(at, key)| parse_key(at, key)).collect()
}

/// The JSON that `aws cloudtrail list-public-keys --output json` prints for these keys.
pub fn write_public_keys<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> String {
    let time = |seconds: i64| {
        let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
    };
    let list: Vec<Value> = keys
        .into_iter()
        .map(|key| {
            let (from, until) = key.validity();
            json!({
                "Value": STANDARD.encode(key.der()),
                "ValidityStartTime": time(from),
                "ValidityEndTime": time(until),
                "Fingerprint": key.fingerprint(),
            })
        })
        .collect();
    format!("{:#}\n", json!({ "PublicKeyList": list }))
}

fn parse_key(at: usize, key: &Value) -> Result<PublicKey, KeyListError> {
    let text = |name: &'static str| {
        field(key, name).and_then(Value::as_str).filter(|t| !t.is_empty()).ok_or(KeyListError::Key(at, name))
    };
    let time = |name: &'static str| field(key, name).and_then(instant).ok_or(KeyListError::Key(at, name));
    let der = STANDARD.decode(text("Value")?).map_err(|_| KeyListError::Key(at, "Value"))?;
    Ok(PublicKey::new(text("Fingerprint")?, der, time("ValidityStartTime")?, time("ValidityEndTime")?))
}

/// A member by name, with an upper or a lower case first letter.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let members = object.as_object()?;
    members.get(name).or_else(|| {
        let (first, rest) = name.split_at_checked(1)?;
        members.get(&format!("{}{rest}", first.to_ascii_lowercase()))
    })
}

fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text
            .parse::<Timestamp>()
            .map(Timestamp::as_second)
            .ok()
            .or_else(|| whole(text.parse::<f64>().ok()?)),
        _ => None,
    }
}

/// Whole seconds of a time written with a fraction; `None` outside the years that anybody means.
fn whole(seconds: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked, the fraction is dropped")]
    let cut = seconds as i64;
    if (0.0..1e11).contains(&seconds) { Some(cut) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestKey;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let keys = [TestKey::get(0).public(), TestKey::get(1).public_spki()];
        assert_eq!(parse_public_keys(write_public_keys(&keys).as_bytes()), Ok(keys.to_vec()));
        assert_eq!(parse_public_keys(write_public_keys([]).as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn answers_are_read_however_the_times_are_written() {
        let (one, value) = (TestKey::get(0), STANDARD.encode(TestKey::get(0).der()));
        let key = |from: Value, until: Value| {
            json!({"Fingerprint": one.public().fingerprint(), "Value": value,
                "ValidityStartTime": from, "ValidityEndTime": until})
        };
        for (from, until) in [
            (json!(1_779_000_000), json!(1_781_592_000)),
            (json!(1_779_000_000.0), json!(1_781_592_000.5)),
            (json!("1779000000"), json!("1781592000.000")),
            (json!("2026-05-17T06:40:00+00:00"), json!("2026-06-16T06:40:00Z")),
        ] {
            let answer = json!({"PublicKeyList": [key(from, until)]}).to_string();
            let keys = parse_public_keys(answer.as_bytes()).unwrap();
            assert_eq!(keys[0].validity(), (1_779_000_000, 1_781_592_000));
            assert!(keys[0].fingerprint_fits());
        }
        let lower = json!({"publicKeyList": [{"fingerprint": "AB", "value": value,
            "validityStartTime": 1, "validityEndTime": 2}]});
        let keys = parse_public_keys(lower.to_string().as_bytes()).unwrap();
        assert_eq!((keys[0].fingerprint(), keys[0].fingerprint_fits()), ("ab", false));
    }

    #[test]
    fn unusable_answers_say_why() {
        let good = json!({"Fingerprint": "f", "Value": "AAAA", "ValidityStartTime": 1, "ValidityEndTime": 2});
        for (field, wrong) in [
            ("Fingerprint", json!("")),
            ("Value", json!("*")),
            ("ValidityStartTime", json!("soon")),
            ("ValidityEndTime", json!(-1.5e300)),
        ] {
            let mut key = good.clone();
            key[field] = wrong;
            let answer = json!({"PublicKeyList": [good, key]}).to_string();
            assert_eq!(parse_public_keys(answer.as_bytes()), Err(KeyListError::Key(1, field)));
        }
        assert_eq!(parse_public_keys(b"{}"), Err(KeyListError::NoList));
        assert!(matches!(parse_public_keys(b"no"), Err(KeyListError::Json(_))));
        let partial = br#"{"PublicKeyList": [], "NextToken": "x"}"#;
        assert_eq!(parse_public_keys(partial), Err(KeyListError::Partial));
    }
}
