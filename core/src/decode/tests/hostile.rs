//! Hostile input: bounds hold whatever comes, and what is good is still delivered.

use proptest::prelude::*;

use super::*;

fn limits() -> DecodeLimits {
    DecodeLimits { inflated_bytes: 64 << 20, record_bytes: 256 << 10, records: 100_000 }
}

#[test]
fn a_bomb_stops_at_the_cap() {
    let stored = gzip(&vec![b' '; 8 << 20]);
    let limits = DecodeLimits { inflated_bytes: 1 << 20, ..limits() };
    let decoded = decode(&stored, &[1000], &limits);
    assert_eq!(decoded.reasons(), ["inflated_too_large"]);
    assert_eq!((decoded.outcome.inflated_size, decoded.outcome.inflated_sha256), (1 << 20, None));
}

#[test]
fn a_body_of_just_the_cap_is_whole() {
    let document = format!("[{}]", vec![r#"{"eventID":"a"}"#; 1000].join(","));
    for stored in [gzip(document.as_bytes()), document.clone().into_bytes()] {
        let exact = DecodeLimits { inflated_bytes: document.len() as u64, ..limits() };
        assert_eq!(decode(&stored, &[100], &exact).outcome.damages, []);
        let short = DecodeLimits { inflated_bytes: document.len() as u64 - 1, ..limits() };
        let decoded = decode(&stored, &[100], &short);
        assert_eq!((decoded.reasons(), decoded.lines.len()), (vec!["inflated_too_large"], 1000));
    }
}

#[test]
fn tiny_records_by_the_million_are_counted_exactly() {
    let n = 1_000_000;
    let document = format!("[{}]", vec!["{}"; n].join(","));
    let decoded = decode(&gzip(document.as_bytes()), &[100], &limits());
    assert_eq!(decoded.outcome.records, 100_000);
    assert_eq!(decoded.reasons(), ["too_many_records"]);
    assert_eq!(decoded.outcome.damaged_records() as usize, n - 100_000);
}

#[test]
fn a_giant_record_is_passed_and_the_next_delivered() {
    for size in [255 << 10, 256 << 10, 257 << 10, 3 << 20] {
        let giant = format!(r#"{{"eventID":"g","x":"{}"}}"#, "}\\\"{".repeat(size / 4));
        let document = format!(r#"[{{"eventID":"a"}},{giant},{{"eventID":"b"}}]"#);
        for pieces in [usize::MAX, 100_000, 61] {
            let decoded = decode(document.as_bytes(), &[pieces], &limits());
            if giant.len() <= 256 << 10 {
                assert_eq!((decoded.lines.len(), decoded.reasons()), (3, vec![]));
                continue;
            }
            assert_eq!((decoded.lines.len(), decoded.reasons()), (2, vec!["record_too_large"]), "{size}");
            let damage = &decoded.outcome.damages[0];
            assert_eq!((damage.records, damage.first), (1, 1));
            assert_eq!(damage.bytes, 17..17 + giant.len() as u64);
            assert!(giant.as_bytes().starts_with(&damage.sample) && damage.sample.len() >= 4096);
        }
    }
}

#[test]
fn a_record_larger_than_a_chunk_is_delivered_alone() {
    let giant = format!(r#"{{"eventID":"g","x":"{}"}}"#, "x".repeat(3 << 20));
    let document = format!(r#"[{{"eventID":"a"}},{giant},{{"eventID":"b"}},{giant}]"#);
    let decoded = decode(&gzip(document.as_bytes()), &[1000], &DecodeLimits::default());
    assert_eq!(decoded.outcome.damages, []);
    assert_eq!(decoded.lines.iter().map(Vec::len).collect::<Vec<_>>(), [15, giant.len(), 15, giant.len()]);
}

#[test]
fn deep_nesting_is_bad_without_recursion() {
    for (depth, good) in [(127, true), (128, false), (1_000_000, false)] {
        let document = format!(
            r#"[{{"eventID":"a"}},{{"x":{}{}}},{{"eventID":"b"}}]"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let wide = DecodeLimits { record_bytes: 4 << 20, ..limits() };
        let decoded = decode(document.as_bytes(), &[usize::MAX], &wide);
        assert_eq!(decoded.lines.len(), if good { 3 } else { 2 }, "{depth}");
        assert_eq!(decoded.reasons().len(), usize::from(!good));
    }
    let open = "[{\"x\":".repeat(200_000);
    assert_eq!(decode(open.as_bytes(), &[usize::MAX], &limits()).lines.len(), 0);
}

#[test]
fn a_trickle_is_not_quadratic() {
    // 200 KB of one record, a byte at a time: copied a few times over, not once per byte.
    let document = format!(r#"[{{"x":"{}"}}]"#, "x".repeat(200 << 10));
    let decoded = decode(document.as_bytes(), &[1], &limits());
    assert_eq!((decoded.lines.len(), decoded.reasons()), (1, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The validator and `serde_json` agree on what one JSON object is.
    #[test]
    fn the_validator_is_strict(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"a\":", "\\", "\\u12", "\\ud800", "\\n", "1", "-", "0",
            ".5", "e", "E+1", "01", "true", "false", "nul", "null", " ", "\n", "\t", "\u{b}", "é", "\u{0}",
            "{}", "[]", "\"\":1", "{\"a\":1}", ",\"b\":[1,2]", "\u{7f}", "\u{feff}",
        ]), 0..12),
        wrap in any::<bool>(),
    ) {
        let inner = parts.concat();
        let text = if wrap { format!("{{\"k\":{inner}}}") } else { format!("{{{inner}}}") };
        let found = validate::record(text.as_bytes());
        let valid = is_object(text.as_bytes());
        match found {
            validate::Finding::Record { len, .. } => {
                prop_assert!(is_object(&text.as_bytes()[..len]), "{text}");
                prop_assert_eq!(valid, len == text.len());
            }
            _ => prop_assert!(!valid, "refused {text}: {found:?}"),
        }
        // Less of it is never bad when all of it is good.
        if valid {
            for cut in 0..text.len() {
                let cut = validate::record(&text.as_bytes()[..cut]);
                prop_assert_eq!(cut, validate::Finding::Incomplete);
            }
        }
    }
}
