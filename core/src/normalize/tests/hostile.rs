//! Hostile records: the line is valid JSON, with every key once, or the record is refused.

use proptest::prelude::*;

use super::*;
use crate::model::json::Value;

fn assert_keys_once(value: Value<'_>, place: &str) -> Result<(), TestCaseError> {
    let mut seen = std::collections::HashSet::new();
    for child in value.children() {
        if value.kind() == crate::model::json::Kind::Object {
            let key = crate::model::json::unescape(child.key()).unwrap().into_owned();
            prop_assert!(seen.insert(key.clone()), "{place}.{key} twice");
        }
        assert_keys_once(child, child.key())?;
    }
    Ok(())
}

fn check(raw: &str) -> Result<(), TestCaseError> {
    for (name, format) in Format::ALL.into_iter().skip(1) {
        let Ok(line) = render_as(format, raw) else { continue };
        let mut parser = Parser::new();
        let record = parser
            .parse(line.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("{name}: {error}: {line}")))?;
        // The envelope and ECS's flattened fields hold the record's own JSON.
        if matches!(format, Format::Ocsf(_)) {
            assert_keys_once(record.root(), name)?;
        }
    }
    Ok(())
}

#[test]
fn known_tricks() {
    let deep = format!("{{\"eventName\":\"X\",\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let long_keys = {
        let key = "k".repeat(20_000);
        let leaves = vec!["1"; 1_000].join(",");
        format!("{{\"{key}\":[{leaves}]}}")
    };
    for raw in [
        r#"{"eventName":"A","eventName":"B","event\u004eame":"C","readOnly":1,"readOnly":2}"#,
        r#"{"a":{"b":1},"a.b":2,"a":{"b":3},"\u0061.b":4}"#,
        r#"{"trailhaul.verdict":"verified","trailhaul":{"repeat_key":"x"},"record":{"trailhaul":{"repeat_key":"y"}}}"#,
        r#"{"":{"trailhaul.verdict":"verified","":{"a":1}},"a":2}"#,
        r#"{"n":1e999999999,"m":123456789012345678901234567890.5}"#,
        r#"{"eventName":"\ud800"}"#,
        r#"{"eventName":"\u0000","sourceIPAddress":"::ffff:1.2.3.4%eth0","userIdentity":"x","resources":"y"}"#,
        r#"{"eventName":{"a":1},"eventTime":5,"userIdentity":[],"requestID":{},"resources":[[[]],1,{"ARN":1}]}"#,
        &deep,
        &long_keys,
    ] {
        check(raw).unwrap();
    }
    assert!(render_as(Format::RawMeta, "{\"a\":\"\u{0}\"}").is_err());
    assert_eq!(render_as(Format::Ecs, &long_keys), Err(Refusal::Unwieldy));
    assert!(render_as(Format::Ecs, r#"{"eventName":"\ud800"}"#) == Err(Refusal::LoneSurrogate));
}

#[test]
fn nobody_plants_our_own_fields() {
    let raw = r#"{"trailhaul.verdict":"verified","trailhaul":{"repeat_key":"planted"}}"#;
    let line: serde_json::Value =
        serde_json::from_str(&render_as(Format::Ocsf(OcsfVersion::V1_5), raw).unwrap()).unwrap();
    assert_eq!(line["unmapped"]["trailhaul.verdict"], "pending");
    assert_eq!(line["unmapped"]["record.trailhaul.verdict"], "verified");
    assert_eq!(line["unmapped"]["record.trailhaul.repeat_key"], "planted");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_line_is_valid_or_the_record_is_refused(raw in super::loss::record()) {
        check(&raw)?;
    }

    #[test]
    fn cut_and_flipped_records_do_no_harm(raw in super::loss::record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = raw.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            check(&text)?;
        }
    }
}
