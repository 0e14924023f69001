//! The words of logs and errors: lower case, no full stop, so that they read well inside other sentences.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The string literals that stand as messages: of `#[error("…")]`, and the last of a tracing macro.
fn messages(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let starts = ["#[error(", "error!(", "warn!(", "info!(", "debug!(", "trace!("];
    for start in starts {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if start != "#[error(" && before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"') {
                continue;
            }
            let literals = literals(&code[at + start.len()..]);
            let message = if start == "#[error(" { literals.first() } else { literals.last() };
            found.extend(message.cloned());
        }
    }
    found
}

/// The string literals up to the closing parenthesis.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut depth = 1;
    let mut characters = code.chars();
    while let Some(c) = characters.next() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '"' => {
                let mut text = String::new();
                while let Some(c) = characters.next() {
                    match c {
                        '"' => break,
                        '\\' => text.extend(characters.next()),
                        c => text.push(c),
                    }
                }
                found.push(text);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Names that keep their capital.
const NAMES: [&str; 2] = ["CloudTrail", "Kinesis"];

fn complaint(message: &str) -> Option<&'static str> {
    let first: Vec<char> = message.chars().take(2).collect();
    let capital = first.first().is_some_and(|c| c.is_uppercase());
    let acronym = first.get(1).is_some_and(|c| c.is_uppercase() || c.is_ascii_digit());
    if capital && !acronym && !NAMES.iter().any(|name| message.starts_with(name)) {
        return Some("starts with a capital");
    }
    if message.ends_with('.') && !message.ends_with("..") {
        return Some("ends in a full stop");
    }
    message.ends_with('!').then_some("shouts")
}

#[test]
fn log_and_error_texts_are_lower_case_without_a_full_stop() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    sources(&root.join("../core/src"), &mut files);
    let mut complaints = Vec::new();
    let mut seen = 0;
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        for message in messages(&code) {
            seen += 1;
            if let Some(complaint) = complaint(&message) {
                complaints.push(format!("{}: {message:?} {complaint}", file.display()));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(seen > 5, "only {seen} messages found: the search is broken");
}

#[test]
fn the_search_finds_what_it_should() {
    let code = r#"
        #[error("Wrong {0}")] A(u8),
        tracing::warn!(object = %x("y"), "Object lost.");
        info!("fine");
    "#;
    assert_eq!(messages(code), ["Wrong {0}", "Object lost.", "fine"]);
    assert_eq!(complaint("Wrong"), Some("starts with a capital"));
    assert_eq!(complaint("object lost."), Some("ends in a full stop"));
    for good in ["S3 says no", "KMS key is gone", "CloudTrail is silent", "{0} is wrong", "and so on…"] {
        assert_eq!(complaint(good), None, "{good}");
    }
}
