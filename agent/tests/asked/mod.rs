//! What a running agent answers: its findings, what it has hauled, what it says of one object.
//!
//! In: how the program is run with a configuration. Out: its answers; nothing while it does not answer yet.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tree::Ran;

/// A finding: its kind and its subject, which is the URL of an object or, of an account that a bucket may not carry,
/// its folder below AWSLogs.
pub(crate) type Wanted = (String, String);

/// Asks by running the program with these arguments.
pub(crate) struct Asked<F>(pub(crate) F);

impl<F: Fn(&[&str]) -> Ran> Asked<F> {
    fn ask(&self, arguments: &[&str]) -> Value {
        let ran = (self.0)(&[&["--output", "json"], arguments].concat());
        serde_json::from_str(&ran.stdout).unwrap_or(Value::Null)
    }

    /// Every finding.
    pub(crate) fn findings(&self) -> Vec<Value> {
        self.ask(&["findings", "list"])["findings"].as_array().cloned().unwrap_or_default()
    }

    /// Kind and subject of every finding.
    pub(crate) fn found(&self) -> BTreeSet<Wanted> {
        self.findings().iter().map(named).collect()
    }

    /// How many objects are hauled, over all accounts.
    pub(crate) fn objects(&self) -> u64 {
        let status = self.ask(&["status"]);
        let accounts: BTreeMap<String, Value> =
            serde_json::from_value(status["accounts"].clone()).unwrap_or_default();
        accounts.values().filter_map(|account| account["objects"].as_u64()).sum()
    }

    /// The verdict on an object.
    pub(crate) fn verdict(&self, key: &str) -> String {
        let status = self.ask(&["status", "--object", key]);
        status["verdict"].as_str().unwrap_or_default().to_owned()
    }
}

/// Kind and subject of a finding.
pub(crate) fn named(finding: &Value) -> Wanted {
    let text = |field: &str| finding[field].as_str().unwrap().to_owned();
    let (kind, subject) = (text("kind"), text("subject"));
    if kind == "foreign_account" { foreign(&subject) } else { (kind, subject) }
}

/// The finding about a folder whose account a bucket may not carry; the folder as a key or a URL.
pub(crate) fn foreign(folder: &str) -> Wanted {
    let below = folder.trim_end_matches('/').rsplit_once("AWSLogs/").unwrap().1;
    ("foreign_account".to_owned(), below.to_owned())
}

/// Every finding is one of these, and names its account and, but for a folder, the hour.
pub(crate) fn check_accused(findings: &[Value], touched: &BTreeSet<Wanted>) {
    for finding in findings {
        let (kind, subject, text) = (&finding["kind"], &finding["subject"], &finding["text"]);
        assert!(touched.contains(&named(finding)), "{kind} {subject} is accused: {text}");
        assert!(finding["account"].is_string(), "{finding:#}");
        let hour = ["published", "from"].iter().find_map(|field| finding["details"][field].as_str());
        let is_told = |hour: &str| text.as_str().unwrap().contains(hour);
        assert!(kind == "foreign_account" || hour.is_some_and(is_told), "{finding:#}");
    }
}
