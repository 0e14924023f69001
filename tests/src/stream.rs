//! A stream against the truth.
//!
//! In: the records of a stream, in the `raw+meta` form, and what must be in it. Out: the differences, as texts
//! that name keys and contents, capped in number. At least once is allowed, but every repeat must be
//! recognizable: one repeat key per delivery, and one content per repeat key. A record that is no envelope is an
//! error, not a difference.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::compare::SHOWN;
use crate::model::Expected;
use crate::org::Account;
use crate::truth::Sha;

/// What a stream holds, beside what it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamDifferences {
    /// Events of which the stream holds fewer than it must, told apart by their repeat keys.
    pub missing: u64,
    /// Events that nobody expects.
    pub extra: u64,
    /// Repeats that a consumer cannot drop: another key for the same delivery.
    pub unrecognizable: u64,
    /// Keys that two contents share: a consumer would drop one of them.
    pub shared_keys: u64,
    /// Records that repeat another one under its key: allowed, and worth counting.
    pub repeats: u64,
    /// Examples, at most [`SHOWN`].
    pub examples: Vec<String>,
}

impl StreamDifferences {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.missing + self.extra + self.unrecognizable + self.shared_keys == 0
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < SHOWN {
            self.examples.push(text);
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    trailhaul: Meta,
    #[serde(borrow)]
    record: &'a RawValue,
}

#[derive(Deserialize)]
struct Meta {
    repeat_key: String,
    account: MetaAccount,
}

#[derive(Deserialize)]
struct MetaAccount {
    id: Account,
}

/// Compares the records of a stream with what it must hold.
///
/// # Errors
/// A record that is no envelope.
pub fn compare_stream(expected: &Expected, records: &[Vec<u8>]) -> Result<StreamDifferences> {
    let mut out = StreamDifferences::default();
    let mut contents: BTreeMap<String, (Account, Sha)> = BTreeMap::new();
    let mut keys: BTreeMap<(Account, Sha), BTreeSet<String>> = BTreeMap::new();
    for record in records {
        let envelope: Envelope<'_> = serde_json::from_slice(record)
            .with_context(|| String::from_utf8_lossy(record).chars().take(400).collect::<String>())?;
        let (key, account) = (envelope.trailhaul.repeat_key, envelope.trailhaul.account.id);
        let content = (account, Sha::of(envelope.record.get().as_bytes()));
        match contents.insert(key.clone(), content) {
            None => {}
            Some(before) if before == content => out.repeats += 1,
            Some(before) => {
                out.shared_keys += 1;
                out.example(format!("one key for two: {key}: {before:?} and {content:?}"));
            }
        }
        keys.entry(content).or_default().insert(key);
    }
    let mut wanted: BTreeMap<(Account, Sha), (u64, &str)> = BTreeMap::new();
    for ((account, id, sha), count) in &expected.delivered {
        let wanted = wanted.entry((*account, *sha)).or_insert((0, id.as_deref().unwrap_or("without id")));
        wanted.0 += count;
    }
    for ((account, sha), (want, id)) in &wanted {
        let told = keys.remove(&(*account, *sha)).unwrap_or_default();
        let have = told.len() as u64;
        if have < *want {
            out.missing += want - have;
            out.example(format!("missing: account {account} event {id} content {sha} ({have} of {want})"));
        } else if have > *want {
            out.unrecognizable += have - want;
            out.example(format!("{have} keys for {want} deliveries: account {account} event {id}: {told:?}"));
        }
    }
    for ((account, sha), told) in keys {
        out.extra += told.len() as u64;
        out.example(format!("extra: account {account} content {sha}: {told:?}"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account = Account(111_122_223_333);

    fn record(key: &str, text: &str) -> Vec<u8> {
        format!(r#"{{"trailhaul":{{"repeat_key":"{key}","account":{{"id":"{ACCOUNT}"}}}},"record":{text}}}"#)
            .into_bytes()
    }

    fn expected(texts: &[&str]) -> Expected {
        let mut expected = Expected::default();
        for text in texts {
            let id = Some(text.to_string());
            *expected.delivered.entry((ACCOUNT, id, Sha::of(text.as_bytes()))).or_default() += 1;
        }
        expected
    }

    #[test]
    fn each_kind_of_wrong_stream_is_told() {
        let (one, two) = (r#"{"a": 1}"#, r#"{"a":2}"#);
        let want = expected(&[one, two]);
        let told = |records: &[Vec<u8>]| compare_stream(&want, records).unwrap();
        let right = [record("k1", one), record("k2", two)];
        assert!(told(&right).is_empty());
        let repeated = [right[0].clone(), right[1].clone(), right[0].clone()];
        let outcome = told(&repeated);
        assert!(outcome.is_empty() && outcome.repeats == 1, "{outcome:?}");
        let missing = told(&right[1..]);
        assert_eq!(missing.missing, 1);
        assert!(missing.examples[0].contains(one), "{missing:?}");
        assert_eq!(told(&[right[0].clone(), right[1].clone(), record("k3", one)]).unrecognizable, 1);
        assert_eq!(told(&[right[0].clone(), right[1].clone(), record("k3", "{}")]).extra, 1);
        let shared = told(&[right[0].clone(), record("k1", two)]);
        assert_eq!((shared.shared_keys, shared.missing), (1, 0));
        assert!(compare_stream(&want, &[b"{}".to_vec()]).is_err());
    }
}
