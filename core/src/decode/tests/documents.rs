//! Well-formed documents: every record comes out as it went in, however the bytes arrive.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// The reference: `serde_json`'s own raw slices of a document in either form, as lines.
pub(super) fn reference(document: &str) -> Vec<String> {
    reference_slices(document).iter().map(|r| r.replace(['\n', '\r'], " ")).collect()
}

/// The reference as slices of the document.
pub(super) fn reference_slices(document: &str) -> Vec<&str> {
    #[derive(serde::Deserialize)]
    struct Log<'a> {
        #[serde(borrow, rename = "Records")]
        records: Vec<&'a RawValue>,
    }
    let records: Vec<&RawValue> = match serde_json::from_str::<Log<'_>>(document) {
        Ok(log) => log.records,
        Err(_) => serde_json::from_str(document).unwrap(),
    };
    records.into_iter().map(RawValue::get).collect()
}

/// JSON values as text, with white space of all kinds between the tokens where `spaced`.
fn value(spaced: bool) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        string_text(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
    ];
    leaf.prop_recursive(6, 40, 6, move |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..6), space(spaced))
                .prop_map(|(items, s)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}")))),
            object(inner, spaced),
        ]
    })
    .boxed()
}

/// String tokens full of what could mislead a scanner.
fn string_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        r"[ -!#-\[\]-~]{0,70}",
        Just(r#"\""#.to_owned()),
        Just(r"\\".to_owned()),
        Just(r"\u00e9\ud83d\ude00\n\/".to_owned()),
        Just("é漢😀".to_owned()),
        Just(r#"{\"Records\":[{\"eventID\":\"x\"}]}"#.to_owned()),
        Just("]}],{[".to_owned()),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn space(spaced: bool) -> BoxedStrategy<String> {
    if spaced { "[ \t\r\n]{0,3}".boxed() } else { Just(String::new()).boxed() }
}

fn object(inner: impl Strategy<Value = String> + Clone, spaced: bool) -> impl Strategy<Value = String> {
    let key = prop_oneof![
        string_text(),
        Just("\"eventID\"".to_owned()),
        Just("\"eventName\"".to_owned()),
        Just("\"eventTime\"".to_owned()),
        Just("\"Records\"".to_owned()),
    ];
    (proptest::collection::vec((key, inner), 0..6), space(spaced)).prop_map(|(members, s)| {
        let members: Vec<String> = members.iter().map(|(k, v)| format!("{k}{s}:{s}{v}")).collect();
        format!("{{{s}{}{s}}}", members.join(&format!("{s},{s}")))
    })
}

/// A document and whether it stands in an object.
pub(super) fn document() -> impl Strategy<Value = String> {
    any::<bool>().prop_flat_map(|spaced| {
        let records = proptest::collection::vec(object(value(spaced), spaced), 0..20);
        (records, space(spaced), any::<bool>()).prop_map(|(records, s, bare)| {
            let array = format!("[{s}{}{s}]", records.join(&format!("{s},{s}")));
            if bare { format!("{s}{array}{s}") } else { format!("{s}{{{s}\"Records\"{s}:{s}{array}{s}}}{s}") }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn records_are_those_of_the_reference(
        document in document(),
        pieces in proptest::collection::vec(1usize..3000, 1..5),
        zipped in any::<bool>(),
    ) {
        let stored = if zipped { gzip(document.as_bytes()) } else { document.clone().into_bytes() };
        let decoded = decode(&stored, &pieces, &DecodeLimits::default());
        prop_assert_eq!(decoded.reasons(), Vec::<&str>::new());
        let expected = reference(&document);
        prop_assert_eq!(&decoded.lines, &expected.iter().map(|r| r.clone().into_bytes()).collect::<Vec<_>>());
        prop_assert_eq!(decoded.outcome.inflated_sha256, sha256(document.as_bytes()));
        prop_assert_eq!(decoded.outcome.inflated_size, document.len() as u64);
        for (line, id) in expected.iter().zip(&decoded.ids) {
            prop_assert_eq!(id, &reference_id(line));
        }
    }
}

/// The rule of ids, written down naively: all string values without escapes, all equal, not empty.
fn reference_id(record: &str) -> Option<String> {
    struct Pairs(Vec<(String, Box<RawValue>)>);
    impl<'de> serde::Deserialize<'de> for Pairs {
        fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            struct V;
            impl<'de> serde::de::Visitor<'de> for V {
                type Value = Pairs;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                    let mut pairs = vec![];
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Pairs(pairs))
                }
            }
            d.deserialize_map(V)
        }
    }
    let pairs: Pairs = serde_json::from_str(record).unwrap();
    let values: Vec<&str> =
        pairs.0.iter().filter(|(k, _)| k == "eventID" || k == "eventId").map(|(_, v)| v.get()).collect();
    let texts: Vec<Option<&str>> = values
        .iter()
        .map(|v| v.strip_prefix('"').and_then(|v| v.strip_suffix('"')).filter(|v| !v.is_empty()))
        .collect();
    let first = (*texts.first()?)?;
    let plain = !values.iter().any(|v| v.starts_with('"') && v.contains('\\'));
    (plain && texts.iter().all(|t| *t == Some(first))).then(|| first.to_owned())
}

#[test]
fn both_forms_and_odd_spacing() {
    for document in [
        r#"{"Records":[{"eventID":"a"},{"eventID":"b"}]}"#,
        r#"[{"eventID":"a"},{"eventID":"b"}]"#,
        " {\"Records\" :\r\n [ {\"eventID\" : \"a\"} , {\"eventID\":\t\"b\"}\n] } \n",
        "\t[\r{\"eventID\"\n:\"a\"\r\n},\t{\"eventID\":\"b\"}]",
    ] {
        let decoded = decode_whole(&gzip(document.as_bytes()));
        assert_eq!(decoded.reasons(), Vec::<&str>::new(), "{document}");
        assert_eq!(decoded.ids, [Some("a".to_owned()), Some("b".to_owned())], "{document}");
    }
    for document in ["{\"Records\":[]}", "[]", " [ ] "] {
        let decoded = decode_whole(document.as_bytes());
        assert_eq!((decoded.reasons().len(), decoded.outcome.records), (0, 0));
    }
}

#[test]
fn line_breaks_within_a_record_become_spaces() {
    let decoded = decode_whole(b"[\n{\n\"a\": [1,\r\n2],\"b\":\"\\n\"}\n]");
    assert_eq!(decoded.lines, [br#"{ "a": [1,  2],"b":"\n"}"#.to_vec()]);
    assert_eq!(decoded.outcome.reflowed, 3);
}

#[test]
fn records_stay_in_place_and_objects_share_a_chunk() {
    let mut chunk = Chunk::new();
    for object in 0..50 {
        let document = format!(r#"{{"Records":[{{"eventID":"{object}"}},{{"n":1}}]}}"#);
        let mut decoder = ObjectDecoder::new(object, &DecodeLimits::default());
        assert!(!decoder.push(&gzip(document.as_bytes()), &mut chunk).full);
        assert_eq!(decoder.finish(&mut chunk).unwrap().records, 2);
    }
    let expected: String = (0..50).map(|o| format!("{{\"eventID\":\"{o}\"}}\n{{\"n\":1}}\n")).collect();
    assert_eq!(chunk.ndjson(), expected.as_bytes());
    let owners: Vec<(u32, u32)> = chunk.records().iter().map(|r| (r.object, r.number)).collect();
    assert_eq!(owners[..4], [(0, 0), (0, 1), (1, 0), (1, 1)]);
}

#[test]
fn a_large_document_spans_chunks() {
    let records: Vec<String> =
        (0..40_000).map(|i| format!("{{\"eventID\":\"{i}\",\"p\":\"{}\"}}", "x".repeat(i % 400))).collect();
    let document = format!("{{\"Records\":[{}]}}", records.join(","));
    for pieces in [&[usize::MAX][..], &[1000], &[65_536, 3]] {
        let decoded = decode(&gzip(document.as_bytes()), pieces, &DecodeLimits::default());
        assert_eq!(decoded.outcome.damages, []);
        assert!(decoded.lines.iter().zip(&records).all(|(a, b)| a == b.as_bytes()));
        assert_eq!(decoded.lines.len(), records.len());
        assert_eq!(decoded.outcome.inflated_sha256, sha256(document.as_bytes()));
    }
}

#[test]
fn fields_are_found_at_the_top_only() {
    let record = r#"{"x":{"eventID":"inner","eventName":"inner"},"eventTime":"2026-08-11T11:45:00Z","eventName":"Get","eventSource":"s3.amazonaws.com","awsRegion":"eu-central-1","recipientAccountId":"111122223333","eventID":"outer","eventID2":"no"}"#;
    let (chunk, span) = one(record);
    let text = |span: Option<Span>| std::str::from_utf8(chunk.field(span.unwrap())).unwrap();
    assert_eq!(text(span.fields.id), "outer");
    assert_eq!(text(span.fields.name), "Get");
    assert_eq!(text(span.fields.source), "s3.amazonaws.com");
    assert_eq!(text(span.fields.region), "eu-central-1");
    assert_eq!(text(span.fields.account), "111122223333");
    assert_eq!(span.fields.time, Some(1_786_448_700));
    assert!(!span.fields.irregular);
}

#[test]
fn aggregated_events_have_their_own_names() {
    let record = r#"{"eventVersion":"1.0","accountId":"111122223333","eventId":"e-1","timeWindow":{"windowStart":"2026-08-11 11:45:00","windowEnd":"x"}}"#;
    let (chunk, span) = one(record);
    assert_eq!(chunk.field(span.fields.id.unwrap()), b"e-1");
    assert_eq!(chunk.field(span.fields.account.unwrap()), b"111122223333");
    assert_eq!(span.fields.time, Some(1_786_448_700));
    assert!(!span.fields.irregular);
}

#[test]
fn contradictions_have_no_id() {
    for (record, id, irregular) in [
        (r#"{"eventID":"a","eventID":"b"}"#, None, true),
        (r#"{"eventID":"a","eventID":"a"}"#, Some("a"), true),
        (r#"{"eventID":"a","eventI\u0044":"b"}"#, None, true),
        (r#"{"eventI\u0044":"b"}"#, Some("b"), true),
        (r#"{"eventID":"\u0061"}"#, None, true),
        (r#"{"eventID":"a","eventId":"b"}"#, None, true),
        (r#"{"eventID":"a","eventID":null}"#, None, true),
        (r#"{"eventID":"a","\ud800":1}"#, Some("a"), false),
        (r#"{"eventID":null}"#, None, false),
        (r#"{"eventID":""}"#, None, false),
        (r#"{"eventID":{"eventID":"a"}}"#, None, false),
        (r#"{"EVENTID":"a"}"#, None, false),
        (r#"{"timeWindow":{"eventID":"a"},"timeWindow":{},"eventID":"b"}"#, Some("b"), false),
    ] {
        let (chunk, span) = one(record);
        let found = span.fields.id.map(|id| std::str::from_utf8(chunk.field(id)).unwrap());
        assert_eq!((found, span.fields.irregular), (id, irregular), "{record}");
    }
}

/// Decodes a document of one good record.
fn one(record: &str) -> (Chunk, RecordSpan) {
    let mut chunk = Chunk::new();
    let mut decoder = ObjectDecoder::new(0, &DecodeLimits::default());
    assert!(!decoder.push(format!("[{record}]").as_bytes(), &mut chunk).full);
    let outcome = decoder.finish(&mut chunk).unwrap();
    assert_eq!((outcome.records, outcome.damages.len()), (1, 0), "{record}");
    let span = chunk.records()[0];
    (chunk, span)
}
