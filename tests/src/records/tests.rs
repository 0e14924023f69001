//! Every kind is valid JSON, on one line, with the identity that it claims.

use serde_json::Value;

use super::*;

fn scene() -> Scene<'static> {
    Scene {
        account: Account(111_122_223_333),
        other: Account(222_233_334_444),
        organization: "o-a1b2c3d4e5",
        region: "eu-central-1",
        time: 1_772_312_400,
    }
}

fn every(rounds: usize) -> impl Iterator<Item = (Kind, Record)> {
    let mut rng = Rng::new(5);
    (0..rounds).flat_map(move |_| {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            all.extend(make(kind, &scene(), &mut rng).into_iter().map(|record| (kind, record)));
        }
        all
    })
}

#[test]
fn every_kind_is_one_line_of_json_with_its_id() {
    for (kind, record) in every(60) {
        let value: Value = serde_json::from_str(&record.text).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
        assert!(!record.text.contains('\n'), "{kind:?}");
        let id = value.get("eventID").or_else(|| value.get("eventId")).and_then(Value::as_str);
        assert_eq!(id, record.id.as_deref(), "{kind:?}");
        let time = value.get("eventTime").and_then(Value::as_str);
        assert_eq!(time.is_none(), kind == Kind::Aggregated);
        assert!(time.is_none_or(|t| t == crate::time::iso(record.time)), "{kind:?}");
        assert_eq!(
            record.management,
            value.get("eventCategory").is_none_or(|c| c == "Management"),
            "{kind:?}"
        );
        let leftover = record.text.match_indices('$').count();
        assert_eq!(leftover, record.text.matches("$.").count(), "{kind:?}: {}", record.text);
    }
}

#[test]
fn requests_reach_but_do_not_pass_the_documented_100_kilobytes() {
    let largest = every(60).map(|(_, record)| record.text.len()).max().unwrap();
    assert!((60_000..104_000).contains(&largest), "{largest}");
}

#[test]
fn a_reordered_record_says_the_same_in_other_bytes() {
    for (kind, record) in every(20) {
        let other = reordered(&record.text);
        assert_ne!(other, record.text, "{kind:?}");
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&other), parse(&record.text), "{kind:?}");
    }
}

#[test]
fn twins_share_an_id_and_have_their_own() {
    let twins = make(Kind::CrossAccount, &scene(), &mut Rng::new(1));
    let field = |record: &Record, name: &str| {
        serde_json::from_str::<Value>(&record.text).unwrap()[name].as_str().unwrap().to_owned()
    };
    assert_eq!(field(&twins[0], "sharedEventID"), field(&twins[1], "sharedEventID"));
    assert_ne!(twins[0].id, twins[1].id);
    assert_eq!(field(&twins[1], "recipientAccountId"), "222233334444");
    assert_eq!(twins[1].account.to_string(), "222233334444");
}

#[test]
fn a_record_of_any_size_can_be_made() {
    let record = sized(1_000_000, &scene(), &mut Rng::new(1));
    assert!((1_000_000..1_004_000).contains(&record.text.len()));
}
