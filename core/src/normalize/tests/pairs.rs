//! Field by field against what Amazon Security Lake made of the same records.
//!
//! The pairs are of OCSF 1.0.0-rc.2, so their attributes are renamed to those of 1.1 first. What differs after
//! that must be in [`ARGUED`], with the reason; a difference that is not is a failure.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::*;

/// rc.2 names and what 1.1 calls them, as AWS's mapping documents of both say.
const RENAMED: [(&str, &str); 7] = [
    ("actor.user.uid", "actor.user.uid_alt"),
    ("actor.user.uuid", "actor.user.uid"),
    ("actor.user.account_uid", "actor.user.account.uid"),
    ("actor.session.mfa", "actor.session.is_mfa"),
    ("user.uuid", "user.uid"),
    ("mfa", "is_mfa"),
    ("unmapped.eventType", "metadata.event_code"),
];

/// Where we differ from AWS, and why. A `*` stands for any end of the path.
const ARGUED: [(&str, &str); 21] = [
    // Of the version.
    ("metadata.version", "1.1.0 instead of rc.2"),
    ("metadata.profiles*", "the datetime profile came with 1.1"),
    ("category_*", "API Activity moved to Application Activity, and Audit Activity was renamed"),
    ("class_uid", "API Activity is 6003 instead of 3005"),
    ("type_uid", "follows from the class"),
    ("time_dt", "of the datetime profile"),
    ("actor.session.created_time_dt", "of the datetime profile"),
    ("observables*", "promised by AWS's documents, absent from the rc.2 output"),
    ("service.name", "1.1 requires a service or an endpoint of Authentication"),
    ("session.*", "of AWS's 1.5 mapping"),
    ("policy.uid", "of AWS's 1.5 mapping"),
    ("src_endpoint.svc_name", "1.1 does not take a domain alone"),
    ("unmapped.requestParameters.*", "api.request.data holds them whole since 1.1"),
    ("unmapped.responseElements.*", "api.response.data holds them whole since 1.1"),
    ("api.request.data", "as above"),
    ("api.response.data", "as above"),
    // Of ours.
    ("metadata.processed_time*", "when it was hauled"),
    ("unmapped.trailhaul.*", "where it comes from, and the repeat key"),
    ("cloud.org.*", "what the configuration knows of the account"),
    // AWS's faults.
    ("api.request.uid", "AWS writes two apostrophes where there is no request id; we leave the request out"),
    ("activity_name", "the event's own name where the activity is Other, as in AWS's 1.5 output"),
];

/// Faults that only the class of Authentication shows: `user` is the caller there, with the name that the record
/// has, and its principal is the alternative id, so that `uid` means the same in every class. For AssumeRole AWS
/// writes status Other with id 0, whose caption is Unknown; the record says how it ended.
const OF_AUTHENTICATION: [&str; 5] = ["user.name", "user.uid", "user.uid_alt", "status", "status_id"];

fn flatten(value: &Json, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(value, &path, found);
            }
        }
        Json::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                flatten(value, &format!("{path}[{at}]"), found);
            }
        }
        Json::Null => {}
        Json::String(text) if text.is_empty() => {}
        Json::String(text) => drop(found.insert(path.to_owned(), text.clone())),
        other => drop(found.insert(path.to_owned(), other.to_string())),
    }
}

fn is_argued(path: &str, class: &str) -> Option<&'static str> {
    let listed = ARGUED.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == *pattern,
    });
    let of_class = class == "Authentication" && OF_AUTHENTICATION.contains(&path);
    listed.map(|(_, why)| *why).or(of_class.then_some("see OF_AUTHENTICATION"))
}

#[test]
fn agrees_with_security_lake_but_for_argued_differences() {
    let Some(folder) = shared() else { return };
    let text = std::fs::read_to_string(folder.join("data/security-lake-pairs/pairs.ndjson")).unwrap();
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut same, mut faults) = (0, Vec::new());
    for line in text.lines() {
        let pair: Json = serde_json::from_str(line).unwrap();
        let mut parser = Parser::new();
        let raw = parser.parse(line.as_bytes()).unwrap().get("raw").unwrap().text().to_owned();
        let ours: Json =
            serde_json::from_str(&render_as(Format::Ocsf(OcsfVersion::V1_1), &raw).unwrap()).unwrap();
        let class = ours["class_name"].as_str().unwrap().to_owned();
        let (mut ours_flat, mut aws) = (BTreeMap::new(), BTreeMap::new());
        flatten(&ours, "", &mut ours_flat);
        flatten(&pair["ocsf"], "", &mut aws);
        let aws: BTreeMap<String, String> = aws
            .into_iter()
            .map(|(path, value)| {
                let renamed = RENAMED.iter().find(|(old, _)| *old == path).map(|(_, new)| (*new).to_owned());
                (renamed.unwrap_or(path), value)
            })
            .collect();
        let paths: std::collections::BTreeSet<&String> = ours_flat.keys().chain(aws.keys()).collect();
        for path in paths {
            let (a, b) = (ours_flat.get(path), aws.get(path));
            if a == b {
                same += 1;
            } else if let Some(why) = is_argued(path, &class) {
                *met.entry(why).or_default() += 1;
            } else {
                faults.push(format!("{} {path}: ours {a:?}, AWS {b:?}", pair["name"]));
            }
        }
    }
    println!("{same} fields agree; argued differences: {met:#?}");
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(same > 200);
}
