//! Redaction: which values of a record a sink does not get, and what stands in their place.
//!
//! In: rules (a path, an action) and a parsed record. Out: per value, whether it is dropped or replaced, which
//! the renderers ask before they write. The first rule that names a value decides. Rules apply to the record
//! as CloudTrail wrote it, before it is mapped, so one rule covers every format, the JSON text inside OCSF's
//! `api.request.data` included. What identifies an event ([`PROTECTED`]) cannot be redacted.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::model::json::{Kind, Path, PathError, Record, Step, Value, unescape_lossy};

/// What a masked value reads.
const MASK: &str = "***";

/// Rules of one sink, at most; each costs a walk per record.
const MAX_RULES: usize = 256;

/// Fields that say which event it is; hiding them would break deduplication, order and routing downstream.
const PROTECTED: [&str; 11] = [
    "awsRegion",
    "eventCategory",
    "eventID",
    "eventId",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "recipientAccountId",
    "timeWindow",
];

/// Named sets of paths, for the configuration. AWS itself hides most secrets (`HIDDEN_DUE_TO_SECURITY_REASONS`,
/// `***`); `credentials` covers those that services have been seen to log or are free to.
pub const SETS: [(&str, &[&str]); 3] = [
    (
        "credentials",
        &[
            "responseElements.**.sessionToken",
            "responseElements.**.secretAccessKey",
            "responseElements.**.secretKey",
            "responseElements.**.keyMaterial",
            "responseElements.**.privateKey",
            "responseElements.**.password",
            "responseElements.**.authToken",
            "requestParameters.**.password",
            "requestParameters.**.newPassword",
            "requestParameters.**.oldPassword",
            "requestParameters.**.masterUserPassword",
            "requestParameters.**.secretString",
            "requestParameters.**.secretBinary",
            "requestParameters.**.clientSecret",
            "requestParameters.**.authToken",
            "requestParameters.**.privateKey",
            "requestParameters.**.userData",
            "requestParameters.webIdentityToken",
            "requestParameters.sAMLAssertion",
            "serviceEventDetails.**.password",
        ],
    ),
    (
        "identities",
        &[
            "userIdentity.userName",
            "userIdentity.arn",
            "userIdentity.principalId",
            "userIdentity.sessionContext.sessionIssuer.userName",
            "userIdentity.sessionContext.sessionIssuer.arn",
            "userIdentity.sessionContext.sourceIdentity",
            "userIdentity.onBehalfOf.userId",
            "additionalEventData.UserName",
            "requestParameters.userName",
            "requestParameters.newUserName",
            "requestParameters.roleSessionName",
            "requestParameters.sourceIdentity",
            "responseElements.user",
            "responseElements.assumedRoleUser",
        ],
    ),
    ("addresses", &["sourceIPAddress", "tlsDetails.clientProvidedHostHeader"]),
];

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is left out.
    Drop,
    /// It reads `***`.
    Mask,
    /// It reads `hmac:` and 32 hex digits of HMAC-SHA-256: equal values stay equal, under one key.
    Hash,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Mask => "mask",
            Self::Hash => "hash",
        }
    }
}

/// The key of [`Action::Hash`]; never printed.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// A key of 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 (RFC 2104), the first 16 bytes in hex.
    fn hash(&self, message: &[u8]) -> String {
        let mut block = [0_u8; 64];
        for (slot, byte) in block.iter_mut().zip(self.0) {
            *slot = byte;
        }
        let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
        let outer = Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize();
        format!("hmac:{}", hex::encode(outer.get(..16).unwrap_or(&outer)))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    text: String,
    path: Path,
    action: Action,
}

/// Why a redaction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactionError {
    /// The path does not parse.
    #[error("redaction path {path:?}: {error}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        error: PathError,
    },
    /// The path names what identifies an event.
    #[error("redaction path {0:?}: this field identifies the event and cannot be redacted")]
    Protected(String),
    /// The set is not known.
    #[error("{0:?} is not a redaction set (credentials, identities, addresses)")]
    Set(String),
    /// Hashing without a key.
    #[error("redaction path {0:?}: action hash needs a key")]
    NoKey(String),
    /// Too many rules.
    #[error("more than {MAX_RULES} redaction rules")]
    TooMany,
    /// Raw output is verbatim.
    #[error("format raw is verbatim and never redacted: use raw+meta, ocsf or ecs")]
    Verbatim,
}

/// The redaction of one sink. Empty by default.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    rules: Vec<Rule>,
    key: Option<HashKey>,
}

impl Redaction {
    /// A redaction without rules; `key` is needed for [`Action::Hash`].
    pub fn new(key: Option<HashKey>) -> Self {
        Self { rules: Vec::new(), key }
    }

    /// Adds a rule for a path, such as `sourceIPAddress` or `requestParameters.**.password`.
    pub fn path(&mut self, text: &str, action: Action) -> Result<(), RedactionError> {
        let shown = || text.chars().take(200).collect::<String>();
        let path = Path::parse(text).map_err(|error| RedactionError::Path { path: shown(), error })?;
        let last = path.steps().iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(&**key),
            Step::Each | Step::Below => None,
        });
        let subject = path.head().or(last).unwrap_or("");
        if PROTECTED.contains(&subject) {
            return Err(RedactionError::Protected(shown()));
        }
        if action == Action::Hash && self.key.is_none() {
            return Err(RedactionError::NoKey(shown()));
        }
        if self.rules.len() >= MAX_RULES {
            return Err(RedactionError::TooMany);
        }
        self.rules.push(Rule { text: text.to_owned(), path, action });
        Ok(())
    }

    /// Adds the rules of a named set.
    pub fn set(&mut self, name: &str, action: Action) -> Result<(), RedactionError> {
        let found = SETS.iter().find(|(set, _)| *set == name);
        let (_, paths) = found.ok_or_else(|| RedactionError::Set(name.chars().take(80).collect()))?;
        paths.iter().try_for_each(|path| self.path(path, action))
    }

    /// Adds the rules of one line of configuration: `sourceIPAddress`, `mask sourceIPAddress`, `hash identities`,
    /// `credentials`. Without an action values are dropped. A word that is a set's name is the set.
    pub fn rule(&mut self, text: &str) -> Result<(), RedactionError> {
        let (action, subject) = match text.trim().split_once(char::is_whitespace) {
            Some(("drop", rest)) => (Action::Drop, rest.trim_start()),
            Some(("mask", rest)) => (Action::Mask, rest.trim_start()),
            Some(("hash", rest)) => (Action::Hash, rest.trim_start()),
            _ => (Action::Drop, text.trim()),
        };
        if SETS.iter().any(|(name, _)| *name == subject) {
            self.set(subject, action)
        } else {
            self.path(subject, action)
        }
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules as text, for the journal: `drop requestParameters.**.password, mask sourceIPAddress`.
    pub fn describe(&self) -> String {
        let rules: Vec<_> =
            self.rules.iter().map(|rule| format!("{} {}", rule.action.as_str(), rule.text)).collect();
        rules.join(", ")
    }
}

/// What a redaction makes of one record.
#[derive(Debug, Default)]
pub(super) struct Redacted {
    /// Per value id; empty when nothing is redacted.
    state: Vec<State>,
    /// The texts of replaced values, as JSON string text, sorted by value id.
    texts: Vec<(usize, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    Dropped,
    Replaced,
}

impl Redacted {
    /// Looks at a record; what was known of the one before is forgotten.
    pub(super) fn apply(&mut self, redaction: &Redaction, record: Record<'_>) {
        self.state.clear();
        self.texts.clear();
        for rule in &redaction.rules {
            rule.path.any(record.root(), &mut |value| {
                self.mark(record, value, rule.action, redaction.key.as_ref());
                false
            });
        }
        self.texts.sort_unstable_by_key(|(id, _)| *id);
    }

    fn mark(&mut self, record: Record<'_>, value: Value<'_>, action: Action, key: Option<&HashKey>) {
        if value.is_blank() {
            return;
        }
        self.state.resize(record.len(), State::Kept);
        let Some(state) = self.state.get_mut(value.id()).filter(|state| **state == State::Kept) else {
            return;
        };
        let text = match (action, key) {
            (Action::Mask, _) => MASK.to_owned(),
            (Action::Hash, Some(key)) => key.hash(plain(value).as_bytes()),
            (Action::Drop, _) | (Action::Hash, None) => {
                *state = State::Dropped;
                return;
            }
        };
        *state = State::Replaced;
        self.texts.push((value.id(), text));
    }

    /// Whether anything is redacted.
    pub(super) fn any(&self) -> bool {
        !self.state.is_empty()
    }

    fn state(&self, value: Value<'_>) -> State {
        self.state.get(value.id()).copied().unwrap_or(State::Kept)
    }

    /// Whether the value is as CloudTrail wrote it (what it holds may not be).
    pub(super) fn is_kept(&self, value: Value<'_>) -> bool {
        self.state(value) == State::Kept
    }

    /// Whether the value is left out.
    pub(super) fn is_dropped(&self, value: Value<'_>) -> bool {
        self.state(value) == State::Dropped
    }

    /// What stands in the place of a value that is replaced.
    pub(super) fn replacement(&self, value: Value<'_>) -> Option<&str> {
        if self.state(value) != State::Replaced {
            return None;
        }
        let at = self.texts.binary_search_by_key(&value.id(), |(id, _)| *id).ok()?;
        self.texts.get(at).map(|(_, text)| text.as_str())
    }

    /// Appends a value as JSON: its very text, but for what is redacted in it.
    pub(super) fn write(&self, value: Value<'_>, out: &mut Vec<u8>) {
        if !self.any() {
            out.extend_from_slice(value.text().as_bytes());
            return;
        }
        if let Some(text) = self.replacement(value) {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
            return;
        }
        let (open, close) = match value.kind() {
            Kind::Object => (b'{', b'}'),
            Kind::Array => (b'[', b']'),
            _ => {
                out.extend_from_slice(value.text().as_bytes());
                return;
            }
        };
        out.push(open);
        for child in value.children().filter(|child| !self.is_dropped(*child)) {
            if out.last() != Some(&open) {
                out.push(b',');
            }
            if value.kind() == Kind::Object {
                out.push(b'"');
                out.extend_from_slice(child.key().as_bytes());
                out.extend_from_slice(b"\":");
            }
            self.write(child, out);
        }
        out.push(close);
    }
}

/// What is hashed: the plain text of a string, the JSON text of anything else.
fn plain<'p>(value: Value<'p>) -> std::borrow::Cow<'p, str> {
    value.string().map_or_else(|| value.text().into(), unescape_lossy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::Parser;

    fn redacted(record: &str, redaction: &Redaction) -> String {
        let mut parser = Parser::new();
        let record = parser.parse(record.as_bytes()).unwrap();
        let mut redacted = Redacted::default();
        redacted.apply(redaction, record);
        let mut out = Vec::new();
        redacted.write(record.root(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_dropped_masked_and_hashed() {
        let mut redaction = Redaction::new(Some(HashKey::new([7; 32])));
        redaction.path("requestParameters.**.password", Action::Drop).unwrap();
        redaction.path("sourceIPAddress", Action::Mask).unwrap();
        redaction.path("userIdentity.userName", Action::Hash).unwrap();
        redaction.path("resources[].ARN", Action::Mask).unwrap();
        let text = r#"{"n":1.0,"sourceIPAddress":"1.2.3.4","userIdentity":{"userName":"a\u006cice"},
            "requestParameters":{"password":"x","a":[{"password":{"b":1},"c":2}]},"resources":[{"ARN":"r"},{"ARN":null}]}"#;
        let out = redacted(text, &redaction);
        let alice = redaction.key.as_ref().unwrap().hash(b"alice");
        assert_eq!(
            out,
            format!(
                r#"{{"n":1.0,"sourceIPAddress":"***","userIdentity":{{"userName":"{alice}"}},"requestParameters":{{"a":[{{"c":2}}]}},"resources":[{{"ARN":"***"}},{{"ARN":null}}]}}"#
            )
        );
    }

    #[test]
    fn a_duplicate_or_escaped_key_hides_nothing() {
        let mut redaction = Redaction::default();
        redaction.path("sourceIPAddress", Action::Drop).unwrap();
        let text = r#"{"sourceIPAddress":"1","source\u0049PAddress":"2","sourceIPAddress":"3","x":4}"#;
        assert_eq!(redacted(text, &redaction), r#"{"x":4}"#);
    }

    #[test]
    fn hmac_is_rfc_4231_case_2_like() {
        // RFC 4231 test case 1 has a 20-byte key, which zero-padding to 32 bytes does not change.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(HashKey::new(key).hash(b"Hi There"), "hmac:b0344c61d8db38535ca8afceaf0bf12b");
    }

    #[test]
    fn what_cannot_be_redacted_is_refused() {
        let mut redaction = Redaction::default();
        for path in ["eventID", "eventTime", "**.eventID", "timeWindow.windowStart"] {
            assert_eq!(redaction.path(path, Action::Drop), Err(RedactionError::Protected(path.to_owned())));
        }
        assert!(matches!(redaction.path("a..b", Action::Drop), Err(RedactionError::Path { .. })));
        assert!(matches!(redaction.path("a", Action::Hash), Err(RedactionError::NoKey(_))));
        assert!(matches!(redaction.set("nope", Action::Drop), Err(RedactionError::Set(_))));
        for (name, paths) in SETS {
            redaction.set(name, Action::Drop).unwrap();
            assert!(redaction.describe().contains(&format!("drop {}", paths[0])));
        }
        for rule in ["mask  a.b", "credentials", " hash identities ", "drop x"] {
            redaction.key = Some(HashKey::new([9; 32]));
            redaction.rule(rule).unwrap();
        }
        assert!(redaction.rule("hide a").is_err());
        assert!(redaction.describe().ends_with("hash responseElements.assumedRoleUser, drop x"));
        assert!(!format!("{:?}", HashKey::new([9; 32])).contains('9'));
    }
}
