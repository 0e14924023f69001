//! Nothing is lost: every value of a record stands in every line that is made of it.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::model::json::{Kind, Value, unescape};

/// The values of a text, plain: strings unescaped, numbers and booleans by their text.
fn leaves(value: Value<'_>, found: &mut Vec<String>) {
    match value.kind() {
        Kind::Object | Kind::Array => value.children().for_each(|child| leaves(child, found)),
        Kind::Null => {}
        Kind::String => found.extend(unescape(value.string().unwrap()).map(std::borrow::Cow::into_owned)),
        Kind::True | Kind::False | Kind::Number => found.push(value.text().to_owned()),
    }
}

fn leaves_of(text: &str) -> Vec<String> {
    let mut parser = Parser::new();
    let mut found = Vec::new();
    leaves(parser.parse(text.as_bytes()).unwrap().root(), &mut found);
    found.retain(|leaf| !leaf.is_empty());
    found
}

/// What a line holds, with the JSON inside its strings and the parts of comma-joined ones.
fn held(line: &str) -> HashSet<String> {
    let mut all = HashSet::new();
    for leaf in leaves_of(line) {
        let mut parser = Parser::new();
        let wrapped = format!("{{\"v\":{leaf}}}");
        if let Ok(inner) = parser.parse(wrapped.as_bytes()) {
            let mut found = Vec::new();
            leaves(inner.root(), &mut found);
            all.extend(found);
        }
        all.extend(leaf.split(',').map(str::to_owned));
        all.insert(leaf);
    }
    all
}

/// The values of a record that a line does not hold.
pub(super) fn lost(raw: &str, line: &str) -> Vec<String> {
    let held = held(line);
    let joined: Vec<&String> = held.iter().filter(|text| text.contains(',')).collect();
    let is_held = |leaf: &str| {
        held.contains(leaf)
            || joined.iter().any(|text| format!(",{text},").contains(&format!(",{leaf},")))
            // ECS splits the TLS version; OCSF makes a boolean of MFAUsed.
            || leaf.strip_prefix("TLSv").is_some_and(|number| held.contains(number))
            || (matches!(leaf, "Yes" | "No") && line.contains("\"is_mfa\":"))
    };
    leaves_of(raw).into_iter().filter(|leaf| !is_held(leaf)).collect()
}

const KEYS: &[&str] = &[
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "readOnly",
    "resources",
    "eventType",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "eventCategory",
    "apiVersion",
    "serviceEventDetails",
    "vpcEndpointId",
    "sessionCredentialFromConsole",
    "tlsDetails",
    "addendum",
    "insightDetails",
    "eventContext",
    "accountId",
    "eventId",
    "timeWindow",
    "type",
    "arn",
    "principalId",
    "userName",
    "accessKeyId",
    "invokedBy",
    "sessionContext",
    "attributes",
    "creationDate",
    "mfaAuthenticated",
    "sessionIssuer",
    "webIdFederationData",
    "federatedProvider",
    "onBehalfOf",
    "userId",
    "ARN",
    "roleArn",
    "roleName",
    "user",
    "role",
    "credentials",
    "assumedRoleUser",
    "MFAUsed",
    "LoginTo",
    "tlsVersion",
    "insightType",
    "state",
    "a.b",
    "trailhaul.verdict",
    "x-amz-id-2",
    "q\"uote",
    "[]",
    "",
    "é",
    "windowStart",
    "instancesSet",
    "items",
    "instanceId",
    "sourceIpAddress",
];

const TEXTS: &[&str] = &[
    "ConsoleLogin",
    "AssumeRole",
    "CreateUser",
    "AttachRolePolicy",
    "RunInstances",
    "DescribeInstances",
    "AwsCloudTrailInsight",
    "2023-07-10T11:42:40Z",
    "20131102T010628Z",
    "192.0.2.1",
    "2001:db8::1",
    "AWS Internal",
    "s3.amazonaws.com",
    "true",
    "false",
    "AssumedRole",
    "IAMUser",
    "arn:aws:sts::111122223333:assumed-role/r/me@example.com",
    "111122223333",
    "",
    "Success",
    "Yes",
    "TLSv1.3",
    "back\\slash",
    "line\nbreak",
    "a,b",
    "HIDDEN_DUE_TO_SECURITY_REASONS",
];

/// A record with CloudTrail's field names in any place and values of any type; duplicate keys included.
pub(super) fn record() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        3 => prop::sample::select(TEXTS).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9 ]{1,8}",
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        6 => text.prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => Just("null".to_owned()),
        1 => any::<bool>().prop_map(|truth| truth.to_string()),
        2 => prop::sample::select(vec!["1371.0", "-0.0", "1e400", "12345678901234567890123", "9.82222E-5", "0"]).prop_map(str::to_owned),
    ];
    let member = |value: BoxedStrategy<String>| {
        let key = prop_oneof![8 => prop::sample::select(KEYS).prop_map(str::to_owned), 1 => ".{0,6}"];
        (key, value).prop_map(|(key, value)| format!("{}:{value}", serde_json::to_string(&key).unwrap()))
    };
    let value = leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            2 => prop::collection::vec(member(inner.clone().boxed()), 0..8).prop_map(|all| format!("{{{}}}", all.join(","))),
            1 => prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(" , "))),
        ]
    });
    prop::collection::vec(member(value.boxed()), 0..24).prop_map(|all| format!("{{{}}}", all.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_value_of_a_generated_record_is_held(raw in record()) {
        for (name, format) in Format::ALL {
            let line = render_as(format, &raw).unwrap();
            prop_assert!(!line.contains('\n'), "{}", name);
            let _ = serde_json::from_str::<&serde_json::value::RawValue>(&line).map_err(|error| {
                TestCaseError::fail(format!("{name}: {error}: {line}"))
            })?;
            let lost = lost(&raw, &line);
            prop_assert!(lost.is_empty(), "{} lost {:?} of {}\nin {}", name, lost, raw, line);
        }
    }
}
