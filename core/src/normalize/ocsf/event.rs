//! The event as a whole: class, activity, metadata, cloud, time, status; and the Base Event.

use crate::model::json::{Kind, Value, unescape_lossy};
use crate::normalize::classify::{Class, OcsfClass, classify};
use crate::normalize::mapper::Mapper;
use crate::normalize::{AccountInfo, OcsfVersion, time};

use super::{ClassText, Header, actor, api, observe, target};

/// Severity is always Informational, as in AWS's output: CloudTrail does not judge.
macro_rules! class_text {
    ($name:ident, $uid:literal, $class:literal, $category_uid:literal, $category:literal) => {
        pub(super) const $name: &ClassText = &ClassText {
            uid: $uid,
            name: $class,
            members: concat!(
                "\"category_uid\":",
                $category_uid,
                ",\"category_name\":\"",
                $category,
                "\",\"class_uid\":",
                $uid,
                ",\"class_name\":\"",
                $class,
                "\",\"severity_id\":1,\"severity\":\"Informational\""
            ),
        };
    };
}
class_text!(API_ACTIVITY, 6003, "API Activity", 6, "Application Activity");
class_text!(ACCOUNT_CHANGE, 3001, "Account Change", 3, "Identity & Access Management");
class_text!(AUTHENTICATION, 3002, "Authentication", 3, "Identity & Access Management");
class_text!(DETECTION_FINDING, 2004, "Detection Finding", 2, "Findings");
class_text!(BASE_EVENT, 0, "Base Event", 0, "Uncategorized");

/// Writes an API Activity, Account Change or Authentication event, up to `unmapped`. `false` when the record
/// lacks what its class requires; what was written is then void.
pub(super) fn write(m: &mut Mapper<'_, '_>, version: OcsfVersion) -> bool {
    if is_insight(m) {
        return false;
    }
    let Some(name) = m.text(m.fields.event_name) else { return false };
    let class = classify(&unescape_lossy(name));
    let header = header(m, class);
    m.w.bytes(b"{");
    write_header(m, &header, name);
    metadata(m, version);
    cloud(m, version);
    write_time(m);
    status(m, class.ocsf, name);
    let has_actor = actor::write(m, version);
    api::write(m);
    let has_endpoint = actor::endpoint(m, version);
    m.object("http_request", |m| {
        m.put("user_agent", m.fields.user_agent);
    });
    let complete = match class.ocsf {
        OcsfClass::Api => {
            api::resources(m);
            has_actor && has_endpoint
        }
        OcsfClass::Account => target::account(m, version),
        OcsfClass::Authentication => target::authentication(m),
    };
    if complete {
        observe::write(m, class.ocsf);
    }
    complete
}

/// Writes a Base Event, up to `unmapped`.
pub(super) fn write_base(m: &mut Mapper<'_, '_>, version: OcsfVersion) {
    let header = Header { class: BASE_EVENT, activity_id: 99, activity: "Other" };
    m.w.bytes(b"{");
    let name = m.text(m.fields.event_name).or(m.text(m.fields.event_type)).unwrap_or("Other");
    write_header(m, &header, name);
    metadata(m, version);
    cloud(m, version);
    write_time(m);
    let end = m.get(m.fields.time_window, "windowEnd");
    let start = m.get(m.fields.time_window, "windowStart");
    m.put_time("start_time", "start_time_dt", start);
    m.put_time("end_time", "end_time_dt", end);
}

/// Insights events carry `insightDetails` and no event name of their own.
pub(super) fn is_insight(m: &Mapper<'_, '_>) -> bool {
    let f = m.fields;
    m.text(f.event_type) == Some("AwsCloudTrailInsight")
        || (f.insight_details.is_some() && f.event_name.is_none())
}

fn header(m: &Mapper<'_, '_>, class: Class) -> Header {
    let activity_id = class.activity.unwrap_or(match m.boolean(m.fields.read_only) {
        Some(true) => 2,
        _ => 99,
    });
    let (text, captions): (_, &[&str]) = match class.ocsf {
        OcsfClass::Api => (API_ACTIVITY, &API_CAPTIONS),
        OcsfClass::Account => (ACCOUNT_CHANGE, &ACCOUNT_CAPTIONS),
        OcsfClass::Authentication => (AUTHENTICATION, &AUTHENTICATION_CAPTIONS),
    };
    let activity = captions.get(usize::from(activity_id).wrapping_sub(1)).copied().unwrap_or("Other");
    Header { class: text, activity_id, activity }
}

/// Captions of the activities, from 1.
const API_CAPTIONS: [&str; 4] = ["Create", "Read", "Update", "Delete"];
const ACCOUNT_CAPTIONS: [&str; 11] = [
    "Create",
    "Enable",
    "Password Change",
    "Password Reset",
    "Disable",
    "Delete",
    "Attach Policy",
    "Detach Policy",
    "Lock",
    "MFA Factor Enable",
    "MFA Factor Disable",
];
const AUTHENTICATION_CAPTIONS: [&str; 1] = ["Logon"];

/// Writes class, category, activity, type and severity. Of an activity that the schema does not know, the name
/// is the event's own, as in AWS's output.
pub(super) fn write_header(m: &mut Mapper<'_, '_>, header: &Header, name: &str) {
    let w = &mut m.w;
    w.separate();
    w.bytes(header.class.members.as_bytes());
    w.integer("activity_id", i64::from(header.activity_id));
    w.string("activity_name", if header.activity_id == 99 { name } else { header.activity });
    w.integer("type_uid", header.class.uid * 100 + i64::from(header.activity_id));
    w.key("type_name");
    w.bytes(b"\"");
    w.bytes(header.class.name.as_bytes());
    w.bytes(b": ");
    w.bytes(header.activity.as_bytes());
    w.bytes(b"\"");
}

/// Writes `metadata`.
pub(super) fn metadata(m: &mut Mapper<'_, '_>, version: OcsfVersion) {
    m.object("metadata", |m| {
        m.w.string("version", version.as_str());
        m.w.bytes(br#","profiles":["cloud","datetime"]"#);
        m.put_first("uid", &[m.fields.event_id, m.fields.aggregated_id]);
        m.put("event_code", m.fields.event_type);
        let hauled_at = m.context.hauled_at;
        m.w.integer("processed_time", hauled_at);
        m.w.date("processed_time_dt", hauled_at);
        m.object("product", |m| {
            m.w.bytes(br#""name":"CloudTrail","vendor_name":"AWS""#);
            m.put("version", m.fields.event_version);
            m.object("feature", |m| {
                if !m.put("name", m.fields.event_category) {
                    m.w.string("name", "Management, Data, and Insights");
                }
            });
        });
    });
}

/// Writes `cloud`. In 1.1 AWS leaves the account to `unmapped`.
pub(super) fn cloud(m: &mut Mapper<'_, '_>, version: OcsfVersion) {
    m.object("cloud", |m| {
        m.w.string("provider", "AWS");
        m.put("region", m.fields.aws_region);
        organization(m);
        if version == OcsfVersion::V1_1 {
            return;
        }
        m.object("account", |m| {
            let account = [m.fields.recipient_account_id, m.fields.account_id];
            let is_ours = account
                .iter()
                .find_map(|id| m.text(*id))
                .is_none_or(|id| id.parse().is_ok_and(|id: crate::model::AccountId| id == m.context.account));
            m.put_first("uid", &account);
            if let Some(info) = m.context.enrichment.filter(|_| is_ours) {
                account_info(m, info);
            }
        });
    });
}

/// Name and tags of the account; the schema wants no empty list.
fn account_info(m: &mut Mapper<'_, '_>, info: &AccountInfo) {
    if let Some(name) = &info.name {
        m.w.plain("name", name);
    }
    m.array("tags", |m| {
        for (name, value) in &info.tags {
            m.element(|m| {
                m.w.plain("name", name);
                m.w.plain("value", value);
            });
        }
    });
}

/// Writes `org`: the schema wants its id beside the unit's path.
fn organization(m: &mut Mapper<'_, '_>) {
    let Some(info) = m.context.enrichment else { return };
    let Some(id) = &info.organization else { return };
    m.object("org", |m| {
        m.w.plain("uid", id);
        if let Some(unit) = &info.organizational_unit {
            m.w.plain("ou_name", unit);
        }
    });
}

/// When the event happened, by the record: its own time, or the start of its window.
pub(super) fn time(m: &Mapper<'_, '_>) -> Option<i64> {
    time_field(m).and_then(|value| m.text(Some(value))).and_then(time::parse_millis)
}

fn time_field<'p>(m: &Mapper<'p, '_>) -> Option<Value<'p>> {
    [m.fields.event_time, m.get(m.fields.time_window, "windowStart")]
        .into_iter()
        .flatten()
        .find(|value| m.text(Some(*value)).is_some_and(|text| time::parse_millis(text).is_some()))
}

/// Writes `time` and `time_dt`; of a record without a time, the stamp of its object.
pub(super) fn write_time(m: &mut Mapper<'_, '_>) {
    let field = time_field(m);
    if !m.put_time("time", "time_dt", field) {
        let stamp = m.context.object_time;
        m.w.integer("time", stamp);
    }
}

/// Writes `status_id` and `status`. Sign-in events say themselves how they ended, under their own name.
fn status(m: &mut Mapper<'_, '_>, class: OcsfClass, name: &str) {
    let own = if class == OcsfClass::Authentication { own_status(m, name) } else { None };
    let failed = m.fields.error_code.is_some_and(|code| code.kind() != Kind::Null);
    let (id, caption) = match own.and_then(|value| m.text(Some(value))) {
        Some("Success") => (1, "Success"),
        Some("Failure") => (2, "Failure"),
        Some(other) => (99, other),
        None if failed => (2, "Failure"),
        None => (1, "Success"),
    };
    m.w.integer("status_id", id);
    m.w.string("status", caption);
    if let Some(value) = own {
        m.mark(value);
    }
}

/// `responseElements.ConsoleLogin`, `serviceEventDetails.CredentialChallenge` and their like.
fn own_status<'p>(m: &Mapper<'p, '_>, name: &str) -> Option<Value<'p>> {
    [m.fields.response_elements, m.fields.service_event_details]
        .into_iter()
        .find_map(|details| m.get(details, name).filter(|value| m.text(Some(*value)).is_some()))
}
