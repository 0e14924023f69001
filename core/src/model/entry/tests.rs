use super::*;
use crate::model::ObjectRef;

fn epoch_entry() -> Entry {
    Entry {
        format: ENTRY_FORMAT,
        lane: LaneId(3),
        number: 7,
        previous: sha256_hex(b"before"),
        at: "2026-11-22T07:00:00Z".parse().unwrap(),
        body: EntryBody::Epoch(EpochEntry {
            epoch: 2,
            owner: Some("a1".into()),
            host: "log-archive".into(),
            program: "0.1.0".into(),
            forced: false,
        }),
        signature: None,
    }
}

fn batch_entry() -> BatchEntry {
    let object = ObjectEntry {
        object: ObjectRef {
            bucket: "file:///trail".into(),
            key: "k".into(),
            etag: "e".into(),
            version: None,
            size: 9,
        },
        sha256: Some(sha256_hex(b"x")),
        inflated: 20,
        verdict: Verdict::Pending,
        records: 6,
        unique: 3,
        duplicates: 2,
        quarantined: 1,
        first: 0,
        conflicting: 1,
        conflicts: vec![(1, 1)],
        dropped: vec![],
        rewritten: false,
        ranges_cut: false,
    };
    let sink = SinkBooks { delivered: 3, ..SinkBooks::default() };
    BatchEntry {
        batch: BatchId { lane: LaneId(3), epoch: 2, batch: 1 },
        prefix: "date=2026-11-22/".into(),
        outputs: vec![Output {
            role: Role::Data,
            sink: "archive".into(),
            place: Place::Upload {
                store: "file:///a".into(),
                key: "data/x".into(),
                upload: "u".into(),
                parts: vec![],
            },
            records: 3,
            size: 0,
        }],
        objects: vec![object],
        books: Books {
            records: 6,
            unique: 3,
            duplicates: 2,
            quarantined: 1,
            conflicts: 1,
            sinks: [("archive".to_owned(), sink)].into(),
        },
        settings: std::collections::BTreeMap::new(),
    }
}

fn at() -> Timestamp {
    "2026-11-22T08:00:00Z".parse().unwrap()
}

fn verdict(objects: usize) -> Note {
    let object = |number| JudgedObject {
        key: format!("{}{number:04}", "\u{1}".repeat(1_020)),
        etag: "e".into(),
        version: None,
    };
    Note::Verdict(VerdictNote {
        bucket: "s3://trail".into(),
        verdict: Verdict::Verified,
        at: at(),
        digest: Some(DigestRef { bucket: "s3://trail".into(), key: "d".into(), sha256: sha256_hex(b"d") }),
        cause: "\u{1}".repeat(3_000),
        objects: (0..objects).map(object).collect(),
    })
}

fn finding() -> Note {
    Note::Finding(FindingNote {
        kind: "log_mismatch".into(),
        subject: "\u{1}".repeat(9_000),
        text: "\u{1}".repeat(9_000),
        account: Some("111122223333".parse().unwrap()),
        evidence: "\u{1}".repeat(9_000),
        details: serde_json::Map::from_iter([("records".to_owned(), serde_json::json!([[0, 7]]))]),
        at: at(),
    })
}

fn ack() -> Note {
    Note::Ack(AckNote {
        finding: "log_mismatch".into(),
        subject: "s3://trail/k".into(),
        evidence: "e".into(),
        reason: "a drill".into(),
        who: "ana".into(),
        at: at(),
    })
}

fn key() -> Note {
    Note::Key(KeyNote {
        region: "eu-central-1".into(),
        fingerprint: "00ff".into(),
        public_key: "MII=".into(),
        from: at(),
        until: at(),
        at: at(),
    })
}

#[test]
fn notes_are_bounded_whatever_their_texts() {
    let parts = verdict(1_234).bounded();
    let lengths: Vec<usize> = parts
        .iter()
        .map(|note| match note {
            Note::Verdict(note) => note.objects.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(lengths, [MAX_JUDGED, MAX_JUDGED, MAX_JUDGED, 34]);
    let mut long = finding();
    if let Note::Finding(note) = &mut long {
        note.details.insert("places".into(), "x".repeat(100_000).into());
    }
    for note in parts.into_iter().chain(long.bounded()).chain(finding().bounded()) {
        assert!(serde_json::to_vec(&note).unwrap().len() < MAX_NOTE_BYTES, "{}", note.kind());
        let mut entry = epoch_entry();
        entry.body = entry_of(vec![note.clone()]).unwrap();
        assert!(entry.to_bytes().is_ok(), "{}", note.kind());
    }
}

#[test]
fn an_entry_has_notes_of_one_kind() {
    assert_eq!(entry_of(vec![]), None);
    assert_eq!(entry_of(vec![ack(), key()]), None);
    for note in [verdict(1), finding(), ack(), key()] {
        let body = entry_of(vec![note.clone()]).unwrap();
        assert!(serde_json::to_string(&body).unwrap().contains(note.kind()));
        assert_eq!(notes_of(body), [note]);
    }
}

#[test]
fn an_entry_survives_its_bytes() {
    let mut entry = epoch_entry();
    for body in [
        entry.body.clone(),
        EntryBody::Batch(Box::new(batch_entry())),
        EntryBody::Void(VoidEntry {
            entry: 6,
            batch: batch_entry().batch,
            reason: "the upload is gone".into(),
        }),
        entry_of(vec![verdict(2)]).unwrap(),
        entry_of(vec![finding()]).unwrap(),
        EntryBody::Finding(FindingEntry {
            findings: vec![],
            batch: Some(batch_entry().batch),
            outputs: batch_entry().outputs,
        }),
        entry_of(vec![ack(), ack()]).unwrap(),
        entry_of(vec![key()]).unwrap(),
    ] {
        entry.body = body;
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(Entry::from_bytes(&bytes).unwrap(), entry);
        assert_eq!(Entry::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
    }
}

#[test]
fn what_a_later_version_wrote_asks_for_an_upgrade() {
    let bytes = epoch_entry().to_bytes().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for changed in [text.replace("\"format\":1", "\"format\":2"), text.replace("\"epoch\",", "\"owe\",")] {
        let error = Entry::from_bytes(changed.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
    assert!(matches!(Entry::from_bytes(b"{}"), Err(EntryError::Damaged(_))));
}

#[test]
fn the_chain_names_its_place() {
    let entry = epoch_entry();
    assert!(entry.check_follows(LaneId(3), 6, &sha256_hex(b"before")).is_ok());
    assert!(entry.check_follows(LaneId(3), 6, &sha256_hex(b"other")).is_err());
    assert!(entry.check_follows(LaneId(3), 7, &sha256_hex(b"before")).is_err());
    assert!(entry.check_follows(LaneId(4), 6, &sha256_hex(b"before")).is_err());
}

#[test]
fn every_imbalance_is_seen() {
    let good = batch_entry();
    assert_eq!(good.check_books(), Ok(()));
    let mut several = good.clone();
    several.outputs.push(Output { records: 1, ..good.outputs[0].clone() });
    several.outputs[0].records -= 1;
    assert_eq!(several.check_books(), Ok(()), "outputs of one sink add up");
    let changes: [fn(&mut BatchEntry); 7] = [
        |b| b.outputs.clear(),
        |b| b.outputs.push(b.outputs[0].clone()),
        |b| b.objects[0].unique += 1,
        |b| b.books.records += 1,
        |b| b.books.sinks.get_mut("archive").unwrap().filtered += 1,
        |b| b.outputs[0].records -= 1,
        |b| b.books.quarantined -= 1,
    ];
    for change in changes {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(bad.check_books().is_err());
    }
}
