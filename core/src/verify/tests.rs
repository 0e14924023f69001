//! One case for each outcome class, chains under every kind of loss and forgery, and single-byte changes.

use proptest::prelude::*;

use super::testing::*;
use super::*;

const HOUR: i64 = CADENCE;

/// Long after everything in these tests, so that no grace is running.
const LATER: i64 = T0 + 1000 * HOUR;

fn scope(hours: i64) -> Scope {
    Scope { from: T0 - HOUR, until: T0 + (hours - 1) * HOUR, now: LATER, grace: 3 * HOUR, stopped_at: None }
}

/// Feeds objects to a new chain; the chain and what it said.
fn feed(objects: &[Object]) -> (Chain, Vec<ChainEvent>) {
    let mut chain = Chain::new();
    let events = objects.iter().flat_map(|object| chain.accept(object.examine(&ring()).seen)).collect();
    (chain, events)
}

/// The labels of a survey's intervals with their length in hours.
fn labels(chain: &Chain, scope: &Scope) -> Vec<(&'static str, i64)> {
    let survey = chain.survey(&chain_id(ChainKind::Normal), scope);
    survey.intervals.iter().map(|i| (i.coverage.label(), (i.to - i.from) / HOUR)).collect()
}

#[test]
fn each_digest_class_has_its_case() {
    let mut signer = Signer::new(ChainKind::Normal);
    let objects = signer.hours(2);
    let (first, second) = (objects[0].clone(), objects[1].clone());
    let with = |change: &dyn Fn(&mut Object)| {
        let mut object = second.clone();
        change(&mut object);
        object
    };
    let key_of = |key: PublicKey| {
        let mut ring = KeyRing::default();
        ring.add(Some(REGION), [key]);
        ring
    };
    let fingerprint = TestKey::get(0).public().fingerprint().to_owned();
    let old = PublicKey::new(&fingerprint, TestKey::get(0).der(), 0, T0 - 30 * 24 * HOUR);
    let no_key = PublicKey::new(&fingerprint, b"-".to_vec(), 0, LATER);
    let wrong = PublicKey::new(&fingerprint, TestKey::get(1).der(), 0, LATER);

    for (label, object, keys) in [
        ("valid", second.clone(), ring()),
        ("bad-format", with(&|o| o.bytes = b"no".to_vec()), ring()),
        ("bad-format", with(&|o| o.bytes.push(0)), ring()),
        ("bad-format", with(&|o| o.bytes = gzip(b"{}")), ring()),
        ("moved", with(&|o| o.bytes.clone_from(&first.bytes)), ring()),
        ("signature-missing", with(&|o| o.signature = None), ring()),
        ("bad-signature", with(&|o| o.signature.clone_from(&first.signature)), ring()),
        ("bad-signature", with(&|o| o.signature = Some("no hex".to_owned())), ring()),
        ("bad-signature", second.clone(), key_of(wrong)),
        ("key-not-found", second.clone(), key_of(TestKey::get(1).public())),
        ("key-out-of-time", second.clone(), key_of(old)),
        ("key-unloadable", second.clone(), key_of(no_key)),
        ("no-keys", second.clone(), KeyRing::default()),
    ] {
        let examined = object.examine(&keys);
        assert_eq!(
            examined.fault.as_ref().map_or("valid", DigestFault::label),
            label,
            "{:?}",
            examined.fault
        );
        let class = examined.fault.as_ref().map_or(Class::Good, DigestFault::class);
        let expected = match label {
            "valid" => Class::Good,
            "no-keys" => Class::Unknown,
            _ => Class::Finding,
        };
        assert_eq!(class, expected, "{label}");
    }
}

#[test]
fn each_log_class_has_its_case() {
    let text = br#"{"Records":[]}"#;
    let outcome = |stored: &[u8], cap| {
        let mut hasher = LogHasher::new(cap);
        hasher.push(stored);
        LogOutcome::of(&hasher.finish(), Sha256::of(text))
    };
    let good = gzip(text);
    for (stored, expected) in [
        (good.clone(), LogOutcome::Valid),
        (text.to_vec(), LogOutcome::ValidInflated),
        (gzip(b"{}"), LogOutcome::HashMismatch),
        (b"{}".to_vec(), LogOutcome::BadFormat(FormatFault::NotGzip)),
        (good[..good.len() - 3].to_vec(), LogOutcome::BadFormat(FormatFault::Truncated)),
        ([good.as_slice(), &good].concat(), LogOutcome::TrailingData),
    ] {
        assert_eq!(outcome(&stored, 1 << 20), expected);
    }
    assert_eq!(outcome(&good, 3), LogOutcome::BadFormat(FormatFault::TooLarge(3)));
}

#[test]
fn every_log_class_has_a_label_and_a_weight() {
    for (outcome, label, class) in [
        (LogOutcome::Valid, "valid", Class::Good),
        (LogOutcome::ValidInflated, "valid", Class::Good),
        (LogOutcome::HashMismatch, "hash-mismatch", Class::Finding),
        (LogOutcome::BadFormat(FormatFault::Truncated), "bad-format", Class::Finding),
        (LogOutcome::TrailingData, "trailing-data", Class::Finding),
        (LogOutcome::Missing, "missing", Class::Finding),
        (LogOutcome::Archived, "archived-needs-restore", Class::Unknown),
        (LogOutcome::AccessDenied, "access-denied", Class::Unknown),
        (LogOutcome::Unreadable, "unreadable", Class::Unknown),
    ] {
        assert_eq!((outcome.label(), outcome.class()), (label, class));
        assert!(!outcome.to_string().is_empty());
    }
}

#[test]
fn each_interval_class_has_its_case() {
    let objects = Signer::new(ChainKind::Normal).hours(4);
    let late = Scope { until: T0 + 6 * HOUR, now: T0 + 6 * HOUR, ..scope(4) };
    let stopped = Scope { until: T0 + 6 * HOUR, stopped_at: Some(T0 + 3 * HOUR), ..scope(4) };
    let early = Scope { from: T0 - 3 * HOUR, ..scope(4) };
    let (mut moved, mut broken) = (objects.clone(), objects.clone());
    broken[1].bytes.push(0);
    let without = |at: usize| [&objects[..at], &objects[at + 1..]].concat();
    let mut seen = std::collections::BTreeSet::new();
    for (objects, scope, expected) in [
        (objects.clone(), scope(4), vec![("covered", 4)]),
        (objects.clone(), early, vec![("not-started", 2), ("covered", 4)]),
        (objects.clone(), stopped, vec![("covered", 4), ("gap-trail-stopped", 3)]),
        (without(1), scope(4), vec![("covered", 1), ("gap-missing", 1), ("covered", 2)]),
        (broken, scope(4), vec![("covered", 1), ("gap-unproven", 1), ("covered", 2)]),
        (objects.clone(), late, vec![("covered", 4), ("pending", 3)]),
    ] {
        let found = labels(&feed(&objects).0, &scope);
        seen.extend(found.iter().map(|(label, _)| *label));
        assert_eq!(found, expected);
    }
    let Seen::Signed(mut link) = moved.remove(1).examine(&ring()).seen else { panic!("proven") };
    link.previous.as_mut().unwrap().place.bucket = "old".to_owned();
    let mut chain = Chain::new();
    chain.accept(Seen::Signed(link));
    seen.extend(labels(&chain, &scope(2)).iter().map(|(label, _)| *label));
    let all = [
        "covered",
        "gap-missing",
        "gap-trail-stopped",
        "gap-unproven",
        "not-started",
        "other-bucket",
        "pending",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_whole_chain_is_covered_in_any_order_of_arrival() {
    let mut objects = Signer::new(ChainKind::Normal).hours(24);
    for _ in 0..2 {
        let (chain, events) = feed(&objects);
        assert_eq!(events, []);
        assert_eq!(labels(&chain, &scope(24)), [("covered", 24)]);
        objects.reverse();
    }
}

#[test]
fn adjacent_deletions_are_named_one_by_one() {
    let mut objects = Signer::new(ChainKind::Normal).hours(10);
    let gone: Vec<Place> = objects.drain(3..6).map(|object| object.place()).collect();
    let (chain, _) = feed(&objects);
    let survey = chain.survey(&chain_id(ChainKind::Normal), &scope(10));
    let missing: Vec<_> = survey.intervals[1..4].iter().map(|i| i.coverage.clone()).collect();
    assert_eq!(missing, gone.into_iter().map(Coverage::Missing).collect::<Vec<_>>());
    let counted =
        [("covered", 3), ("gap-missing", 1), ("gap-missing", 1), ("gap-missing", 1), ("covered", 4)];
    assert_eq!(labels(&chain, &scope(10)), counted);
}

#[test]
fn deleting_the_newest_or_the_oldest_is_noticed() {
    let objects = Signer::new(ChainKind::Normal).hours(6);
    let (chain, _) = feed(&objects[..4]);
    assert_eq!(labels(&chain, &scope(6)), [("covered", 4), ("gap-missing", 1), ("gap-missing", 1)]);
    let (chain, _) = feed(&objects[2..]);
    assert_eq!(labels(&chain, &scope(6)), [("gap-missing", 1), ("gap-missing", 1), ("covered", 4)]);
}

#[test]
fn what_is_late_is_pending_first_and_heals_when_it_comes() {
    let objects = Signer::new(ChainKind::Normal).hours(4);
    let (mut chain, _) = feed(&[objects[0].clone(), objects[3].clone()]);
    let soon = Scope { now: T0 + 4 * HOUR + 60, ..scope(4) };
    let counted = [("covered", 1), ("gap-missing", 1), ("pending", 1), ("covered", 1)];
    assert_eq!(labels(&chain, &soon), counted);
    chain.accept(objects[2].examine(&ring()).seen);
    chain.accept(objects[1].examine(&ring()).seen);
    assert_eq!(labels(&chain, &soon), [("covered", 4)]);
    let quiet = Scope { until: T0 + 7 * HOUR, ..soon };
    assert_eq!(labels(&chain, &quiet), [("covered", 4), ("pending", 4)]);
}

#[test]
fn a_stop_and_a_restart_accuse_nobody() {
    let mut signer = Signer::new(ChainKind::Normal);
    let mut objects = signer.hours(3);
    signer.restart();
    objects.push(signer.hour(T0 + 8 * HOUR, &[]));
    let (chain, _) = feed(&objects);
    assert_eq!(labels(&chain, &scope(9)), [("covered", 3), ("gap-trail-stopped", 5), ("covered", 1)]);

    let stopped = Scope { until: T0 + 20 * HOUR, stopped_at: Some(T0 + 8 * HOUR), ..scope(9) };
    let counted = [("covered", 3), ("gap-trail-stopped", 5), ("covered", 1), ("gap-trail-stopped", 12)];
    assert_eq!(labels(&chain, &stopped), counted);

    signer.restart();
    objects.push(signer.hour(T0 + 9 * HOUR, &[]));
    let (chain, _) = feed(&objects);
    let survey = chain.survey(&chain_id(ChainKind::Normal), &scope(10));
    assert_eq!(survey.restarts, [objects[4].place()]);
    let early = Scope { from: T0 - 5 * HOUR, ..scope(10) };
    assert_eq!(labels(&chain, &early)[0], ("not-started", 4));
}

#[test]
fn a_bucket_move_says_where_to_go_on() {
    let mut signer = Signer::new(ChainKind::Normal);
    let before = signer.hours(1).remove(0);
    let moved = signer.hour(T0 + HOUR, &[]);
    let Seen::Signed(mut link) = moved.examine(&ring()).seen else { panic!("proven") };
    let elsewhere = Place { bucket: "old".to_owned(), key: before.key };
    link.previous.as_mut().unwrap().place = elsewhere.clone();
    let mut chain = Chain::new();
    chain.accept(Seen::Signed(link));
    let survey = chain.survey(&chain_id(ChainKind::Normal), &scope(2));
    assert_eq!(survey.intervals[0].coverage, Coverage::Elsewhere(elsewhere));
}

#[test]
fn lost_signatures_are_vouched_for_down_the_chain() {
    let mut objects = Signer::new(ChainKind::Normal).hours(5);
    for object in &mut objects[1..4] {
        object.signature = None;
    }
    let (chain, events) = feed(&objects);
    let vouched: Vec<_> = events.iter().map(|e| matches!(e, ChainEvent::Vouched { .. })).collect();
    assert_eq!(vouched, [true; 3]);
    assert_eq!(labels(&chain, &scope(5)), [("covered", 5)]);

    objects[4].signature = None;
    let (chain, events) = feed(&objects);
    assert_eq!(events, [], "nobody is left to vouch");
    assert_eq!(labels(&chain, &scope(5))[0], ("covered", 1));
    assert_eq!(labels(&chain, &scope(5))[1].0, "gap-unproven");
}

#[test]
fn a_signed_digest_with_other_content_in_its_place_is_found() {
    let objects = Signer::new(ChainKind::Normal).hours(3);
    let mut other = Signer::new(ChainKind::Normal);
    other.hour(T0, &[]);
    let planted = other.hour(T0 + HOUR, &[("log", b"other")]);
    assert_eq!(planted.examine(&ring()).fault, None, "validly signed for this very place");
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let set = [objects[0].clone(), planted.clone(), objects[2].clone()];
        let (chain, events) = feed(&order.map(|at| set[at].clone()));
        let replaced = ChainEvent::Replaced { digest: objects[1].place(), by: objects[2].place() };
        assert_eq!(events, [replaced], "{order:?}");
        assert_eq!(labels(&chain, &scope(3)), [("covered", 1), ("gap-unproven", 1), ("covered", 1)]);
    }
}

#[test]
fn what_covers_or_links_otherwise_is_told() {
    let mut signer = Signer::new(ChainKind::Normal);
    let mut objects = signer.hours(3);
    let mut other = Signer::new(ChainKind::Normal);
    let inner = other.window(T0 + 600, T0 + 1800, &[]);
    let (chain, _) = feed(&[objects.clone(), vec![inner.clone()]].concat());
    let survey = chain.survey(&chain_id(ChainKind::Normal), &scope(3));
    assert_eq!((survey.duplicates.len(), survey.unlinked.len()), (0, 1));

    let longer = other.window(T0 - HOUR, T0 + HOUR, &[]);
    objects.remove(1);
    let (chain, _) = feed(&[objects, vec![longer]].concat());
    let survey = chain.survey(&chain_id(ChainKind::Normal), &scope(3));
    assert_eq!(survey.duplicates, []);
    let mut twin = Signer::new(ChainKind::Normal);
    twin.id.prefix = "p".to_owned();
    let twin = twin.hour(T0, &[]);
    let (mut chain, _) = feed(&Signer::new(ChainKind::Normal).hours(2));
    chain.accept(twin.examine(&ring()).seen);
    let survey = chain.survey(&chain_id(ChainKind::Normal), &scope(2));
    assert_eq!(survey.duplicates, [twin.place()]);
}

#[test]
fn backfill_chains_have_links_and_no_cadence() {
    let mut signer = Signer::new(ChainKind::Backfill);
    let objects = [signer.hour(T0 + 5 * HOUR, &[]), signer.hour(T0, &[]), signer.hour(T0 + 9 * HOUR, &[])];
    let id = chain_id(ChainKind::Backfill);
    let (chain, events) = feed(&objects);
    assert_eq!((events, chain.survey(&id, &scope(20))), (vec![], Survey::default()));
    let (chain, _) = feed(&[objects[0].clone(), objects[2].clone()]);
    let survey = chain.survey(&id, &scope(20));
    assert_eq!(survey.intervals[0].coverage, Coverage::Missing(objects[1].place()));
    let mut undated = objects[2].clone();
    undated.generated = None;
    assert_eq!(undated.examine(&ring()).fault, Some(DigestFault::GenerationTimeMissing));
}

#[test]
fn forgetting_what_is_settled_changes_nothing_later() {
    let objects = Signer::new(ChainKind::Normal).hours(8);
    let (mut chain, _) = feed(&objects[..5]);
    chain.forget_before(LATER);
    assert_eq!(chain.newest(), Some(T0 + 4 * HOUR));
    for object in &objects[5..] {
        assert_eq!(chain.accept(object.examine(&ring()).seen), []);
    }
    let rest = Scope { from: T0 + 4 * HOUR, ..scope(8) };
    assert_eq!(labels(&chain, &rest), [("covered", 3)]);
}

#[test]
fn a_chain_survives_being_written_down() {
    let mut objects = Signer::new(ChainKind::Normal).hours(9);
    objects[2].signature = None;
    objects[4].bytes.push(0);
    objects[8].signature = None;
    let mut other = Signer::new(ChainKind::Normal);
    other.hour(T0 + 5 * HOUR, &[]);
    objects[6] = other.hour(T0 + 6 * HOUR, &[]);
    let (chain, events) = feed(&objects);
    assert!(matches!(
        events.as_slice(),
        [
            ChainEvent::Vouched { .. },
            ChainEvent::Replaced { .. },
            ChainEvent::Replaced { .. },
            ChainEvent::Reinstated { .. }
        ]
    ));
    assert_eq!(chain.vouched().collect::<Vec<_>>(), [&objects[2].place()]);
    assert_eq!(chain.replaced().collect::<Vec<_>>(), [&objects[6].place()]);
    let text = serde_json::to_string(&chain.export().collect::<Vec<_>>()).unwrap();
    let mut seen: Vec<Seen> = serde_json::from_str(&text).unwrap();
    for _ in 0..2 {
        let mut again = Chain::new();
        seen.drain(..).for_each(|seen| drop(again.accept(seen)));
        assert_eq!(again, chain);
        seen = chain.export().collect();
        seen.reverse();
    }
}

/// Three hours whose middle one names a log.
fn three_hours(log: &[u8]) -> Vec<Object> {
    let mut signer = Signer::new(ChainKind::Normal);
    vec![signer.hour(T0, &[]), signer.hour(T0 + HOUR, &[("log", log)]), signer.hour(T0 + 2 * HOUR, &[])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A change of one stored byte is found, or leaves the inflated bytes as they were (gzip headers hold
    /// a few bytes that mean nothing: time, operating system).
    #[test]
    fn a_changed_byte_of_a_digest_is_found(which in 0_usize..3, at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut objects = three_hours(b"log");
        let object = &mut objects[which];
        let before = inflate_digest(&object.bytes, MAX_DIGEST).unwrap();
        let at = at.index(object.bytes.len());
        object.bytes[at] ^= flip;
        let same = inflate_digest(&object.bytes, MAX_DIGEST).is_ok_and(|after| after == before);
        prop_assert_eq!(object.examine(&ring()).fault.is_none(), same);
        let (chain, _) = feed(&objects);
        prop_assert_eq!(labels(&chain, &scope(3)) == [("covered", 3)], same);
    }

    /// The same for the content itself, compressed anew, with and without its signature.
    #[test]
    fn changed_content_of_a_digest_is_found(at in any::<prop::sample::Index>(), flip in 1_u8.., strip in any::<bool>()) {
        let mut objects = three_hours(b"log");
        let mut content = inflate_digest(&objects[1].bytes, MAX_DIGEST).unwrap().bytes;
        let at = at.index(content.len());
        content[at] ^= flip;
        objects[1].bytes = gzip(&content);
        if strip {
            objects[1].signature = None;
        }
        prop_assert!(objects[1].examine(&ring()).fault.is_some());
        let (chain, events) = feed(&objects);
        let vouched = events.iter().any(|event| matches!(event, ChainEvent::Vouched { .. }));
        prop_assert!(!vouched);
        prop_assert!(labels(&chain, &scope(3)) != [("covered", 3)]);
    }

    #[test]
    fn a_changed_byte_of_a_signature_is_found(at in 0_usize..512, to in "[0-9a-f]") {
        let mut object = three_hours(b"log").remove(1);
        let signature = object.signature.as_mut().unwrap();
        let before = signature.clone();
        signature.replace_range(at..=at, &to);
        let same = *signature == before;
        prop_assert_eq!(object.examine(&ring()).fault.is_none(), same);
    }

    #[test]
    fn a_changed_byte_of_a_log_is_found(len in 0_usize..5000, at in any::<prop::sample::Index>(), flip in 1_u8.., stored in any::<bool>()) {
        let text: Vec<u8> = (0..len + 2).map(|n| (n * n % 251) as u8 | 1).collect();
        let (mut changed, expected) = (text.clone(), Sha256::of(&text));
        let bytes = if stored {
            let mut bytes = gzip(&text);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            bytes
        } else {
            let at = at.index(changed.len());
            changed[at] ^= flip;
            gzip(&changed)
        };
        let same = inflate_digest(&bytes, 1 << 20).is_ok_and(|i| i.bytes == text && !i.trailing);
        let mut hasher = LogHasher::new(1 << 20);
        bytes.chunks(700).for_each(|piece| hasher.push(piece));
        let outcome = LogOutcome::of(&hasher.finish(), expected);
        prop_assert_eq!(outcome.class() == Class::Good, same, "{:?}", outcome);
    }

    /// Whatever is deleted and in whatever order the rest arrives: covered hours are exactly those whose
    /// digests are there, and the intervals fill the scope.
    #[test]
    fn deletions_are_exactly_the_holes(keep in prop::collection::vec(any::<bool>(), 12), seed in any::<u64>()) {
        let objects = Signer::new(ChainKind::Normal).hours(12);
        let mut kept: Vec<_> = objects.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(o, _)| o.clone()).collect();
        prop_assume!(!kept.is_empty());
        kept.sort_by_key(|object| Sha256::of(format!("{seed}{}", object.key).as_bytes()));
        let (chain, events) = feed(&kept);
        prop_assert_eq!(events, vec![]);
        let scope = scope(12);
        let survey = chain.survey(&chain_id(ChainKind::Normal), &scope);
        let mut at = scope.from;
        for interval in &survey.intervals {
            prop_assert_eq!(interval.from, at);
            at = interval.to;
            let mut hours = (interval.from - scope.from) / HOUR..(interval.to - scope.from) / HOUR;
            let there = interval.coverage == Coverage::Covered;
            prop_assert!(hours.all(|hour| keep[usize::try_from(hour).unwrap()] == there));
        }
        prop_assert_eq!(at, scope.until);
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,80}") {
        let _ = parse_public_keys(&bytes);
        let _ = Digest::parse(&bytes);
        let _ = inflate_digest(&bytes, 100);
        let _ = PublicKey::new(&text, bytes.clone(), 0, 1);
        let _ = DigestKey::parse(&text);
        let _ = verify_signature(&PublicKey::new("", bytes.clone(), 0, 1), &bytes, &hex::encode(&bytes));
    }
}
