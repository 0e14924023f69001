//! Damaged documents and containers: what is whole is delivered, the rest is named and counted.

use proptest::prelude::*;

use super::documents::{document, reference_slices};
use super::*;

type Labels = &'static [(&'static str, u32)];

/// Ids delivered, damages as (label, records).
fn what(stored: &[u8]) -> (String, Vec<(&'static str, u32)>) {
    let decoded = decode_whole(stored);
    let ids: Vec<String> = decoded.ids.iter().map(|id| id.clone().unwrap_or("-".to_owned())).collect();
    let damages = decoded.outcome.damages.iter().map(|d| (d.reason.label(), d.records)).collect();
    (ids.concat(), damages)
}

#[test]
fn every_damage_has_its_reason_and_count() {
    let cases: &[(&str, &str, Labels)] = &[
        ("", "", &[("empty", 1)]),
        (" \n ", "", &[("empty", 1)]),
        ("hello", "", &[("not_gzip", 1)]),
        ("{}", "", &[("not_a_log", 1)]),
        ("7", "", &[("not_a_log", 1)]),
        ("\"Records\"", "", &[("not_a_log", 1)]),
        (r#"{"Records":null}"#, "", &[("not_a_log", 1)]),
        (r#"{"records":[A]}"#, "", &[("other_member", 0), ("not_a_log", 1)]),
        (r#"{"a":[1,{"b":2}],"Records":[A],"z":1}"#, "a", &[("other_member", 0), ("other_member", 0)]),
        (r#"{"Records":[A],"Records":[B]}"#, "ab", &[]),
        (r#"{"\u0052ecords":[A]}"#, "a", &[]),
        (r#"{"a":[1,}],"Records":[A]}"#, "", &[("not_json", 1)]),
        ("[A,7,B]", "ab", &[("bad_record", 1)]),
        ("[7,null,\"x\",[A],A]", "a", &[("bad_record", 4)]),
        (r#"[A,{"eventID":"x",},B]"#, "ab", &[("bad_record", 1)]),
        (r#"[A,{"eventID":tru},{"x":01},{"x":"\q"},B]"#, "ab", &[("bad_record", 3)]),
        ("[A,{\"x\":\"\u{1}\"},B]", "ab", &[("bad_record", 1)]),
        ("[A,nope,B]", "ab", &[("bad_record", 1)]),
        ("[A,,B]", "a", &[("not_json", 1)]),
        ("[A B]", "a", &[("not_json", 1)]),
        ("[A,]", "a", &[("not_json", 1)]),
        ("[A}", "a", &[("not_json", 1)]),
        (r#"{"Records":[A]]"#, "a", &[("not_json", 1)]),
        (r#"{"Records":[A],}"#, "a", &[("not_json", 1)]),
        ("[A,B]x", "ab", &[("trailing_data", 1)]),
        ("[A][B]", "a", &[("trailing_data", 1)]),
        ("[A,B", "ab", &[("truncated", 1)]),
        ("[A,B,", "ab", &[("truncated", 1)]),
        (r#"[A,{"eventID":"#, "a", &[("truncated", 1)]),
        (r#"{"Rec"#, "", &[("truncated", 1)]),
        (r#"{"Records":[A]"#, "a", &[("truncated", 1)]),
        (r#"[A,{"x":"[]}""#, "a", &[("truncated", 1)]),
        // A bracket of the wrong kind ends the bad element: both kinds count alike there.
        (r#"[A,{"x":"[]}"]"#, "a", &[("bad_record", 1), ("truncated", 1)]),
    ];
    for (document, ids, damages) in cases {
        let document = document.replace('A', r#"{"eventID":"a"}"#).replace('B', r#"{"eventID":"b"}"#);
        assert_eq!(what(document.as_bytes()), ((*ids).to_owned(), damages.to_vec()), "{document}");
        let zipped: Vec<_> = damages
            .iter()
            .map(|&(label, n)| (if label == "not_gzip" { "not_json" } else { label }, n))
            .collect();
        assert_eq!(what(&gzip(document.as_bytes())), ((*ids).to_owned(), zipped), "zipped {document}");
        let slow = decode(document.as_bytes(), &[1], &DecodeLimits::default());
        assert_eq!(slow.outcome.damages, decode_whole(document.as_bytes()).outcome.damages, "{document}");
    }
}

#[test]
fn invalid_utf8_is_a_bad_record() {
    assert_eq!(what(b"[{\"x\":\"\xff\"},{\"eventID\":\"a\"}]"), ("a".into(), vec![("bad_record", 1)]));
}

#[test]
fn damage_says_where_and_shows_a_sample() {
    let decoded = decode_whole(br#"[{"a":1},{"b":},{"c":3}]"#);
    let damage = &decoded.outcome.damages[0];
    assert_eq!((damage.first, damage.bytes.clone(), &damage.sample[..]), (1, 9..15, &br#"{"b":}"#[..]));
    assert_eq!(decoded.spans.iter().map(|s| s.number).collect::<Vec<_>>(), [0, 2]);
}

const PAIR: &[u8] = br#"{"Records":[{"eventID":"a"},{"eventID":"b"}]}"#;

#[test]
fn bytes_behind_the_member_are_damage() {
    for trailing in [&b"\0"[..], b"garbage", &gzip(br#"[{"eventID":"c"}]"#)] {
        let stored = [&gzip(PAIR), trailing].concat();
        for pieces in [usize::MAX, 1, 7] {
            let decoded = decode(&stored, &[pieces], &DecodeLimits::default());
            assert_eq!((decoded.reasons(), decoded.lines.len()), (vec!["trailing_data"], 2));
            assert_eq!(decoded.outcome.damages[0].sample, trailing);
            assert_eq!(decoded.outcome.inflated_sha256, sha256(PAIR), "the hash is of the first member");
        }
    }
}

#[test]
fn a_wrong_trailer_is_damage_of_no_record() {
    for from_end in [1, 4, 5, 8] {
        let mut stored = gzip(PAIR);
        let at = stored.len() - from_end;
        stored[at] ^= 1;
        assert_eq!(what(&stored), ("ab".into(), vec![("checksum", 0)]));
        assert_eq!(decode_whole(&stored).outcome.inflated_sha256, sha256(PAIR));
    }
}

#[test]
fn headers_with_every_part_are_read() {
    let plain = gzip(PAIR);
    for flags in 0..32u8 {
        let mut stored = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
        let parts: [&[u8]; 4] = [&[3, 0, 1, 2, 3], b"name\0", b"comment\0", &[1, 2]];
        for (part, flag) in parts.iter().zip([4, 8, 16, 2]) {
            stored.extend_from_slice(if flags & flag == 0 { b"" } else { part });
        }
        stored.extend_from_slice(&plain[10..]);
        for pieces in [usize::MAX, 1] {
            let decoded = decode(&stored, &[pieces], &DecodeLimits::default());
            assert_eq!((decoded.reasons(), decoded.lines.len()), (vec![], 2), "flags {flags:#x}");
        }
    }
    for (at, byte) in [(2, 7), (3, 0x20), (3, 0x80)] {
        let mut stored = plain.clone();
        stored[at] = byte;
        assert_eq!(what(&stored), (String::new(), vec![("corrupt_gzip", 1)]));
    }
}

#[test]
fn a_cut_member_delivers_what_is_whole() {
    let records: Vec<String> = (0..300).map(|i| format!("{{\"eventID\":\"{}\"}}", i * 7919 % 1000)).collect();
    let document = format!("{{\"Records\":[{}]}}", records.join(","));
    let stored = gzip(document.as_bytes());
    for cut in 1..stored.len() {
        let decoded = decode(&stored[..cut], &[64], &DecodeLimits::default());
        assert_eq!(decoded.reasons().len(), 1, "cut at {cut}");
        assert_eq!(decoded.reasons()[0], if cut == 1 { "not_gzip" } else { "truncated" });
        assert!(decoded.lines.iter().zip(&records).all(|(a, b)| a == b.as_bytes()));
        let read = decoded.outcome.inflated_size as usize;
        let whole = document[..read].matches('}').count().min(300);
        assert_eq!(decoded.lines.len(), whole, "cut at {cut}");
        assert_eq!(decoded.outcome.inflated_sha256.is_some(), cut == 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// One byte changed, dropped or added: what was delivered is whole and, up to the damage, unchanged.
    #[test]
    fn records_before_the_damage_are_delivered(
        document in document(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), Just(b'"'), Just(b'}'), Just(b'{'), Just(b'\\'), Just(b',')],
        kind in 0..3,
        piece in 1usize..200,
    ) {
        let at = at.index(document.len());
        let mut bytes = document.clone().into_bytes();
        match kind {
            0 => bytes[at] = byte,
            1 => { bytes.remove(at); }
            _ => bytes.insert(at, byte),
        }
        prop_assume!(!bytes.starts_with(&[0x1f, 0x8b]));
        let decoded = decode(&bytes, &[piece], &DecodeLimits::default());
        let slices = reference_slices(&document);
        let place = |slice: &str| slice.as_ptr() as usize - document.as_ptr() as usize;
        // Framing ahead of the first record may be what was damaged: then nothing is promised.
        let promised = slices.first().is_some_and(|first| place(first) < at);
        let before = slices.iter().filter(|slice| promised && place(slice) + slice.len() <= at);
        let before: Vec<Vec<u8>> =
            before.map(|slice| slice.replace(['\n', '\r'], " ").into_bytes()).collect();
        prop_assert!(decoded.lines.starts_with(&before));
        let same = decode(&gzip(&bytes), &[usize::MAX], &DecodeLimits::default());
        prop_assert_eq!(&same.lines, &decoded.lines, "how bytes arrive does not matter");
        prop_assert_eq!(same.outcome.damaged_records(), decoded.outcome.damaged_records());
    }

    #[test]
    fn random_bytes_never_break_the_books(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        magic in any::<bool>(),
        piece in 1usize..300,
    ) {
        let mut stored = if magic { vec![0x1f, 0x8b, 8, 0] } else { vec![] };
        stored.extend_from_slice(&bytes);
        decode(&stored, &[piece], &DecodeLimits::default());
    }

    #[test]
    fn damaged_members_never_break_the_books(
        document in document(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        piece in 1usize..300,
    ) {
        let mut stored = gzip(document.as_bytes());
        for (at, byte) in &flips {
            let at = at.index(stored.len());
            stored[at] = *byte;
        }
        let decoded = decode(&stored, &[piece], &DecodeLimits::default());
        let whole = decode(&stored, &[usize::MAX], &DecodeLimits::default());
        prop_assert_eq!(decoded.lines, whole.lines);
        prop_assert_eq!(decoded.outcome, whole.outcome);
    }
}
