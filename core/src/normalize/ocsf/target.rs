//! Whom the event is about: `user` of Account Change and Authentication, with what belongs to it.

use crate::model::json::Value;
use crate::normalize::OcsfVersion;
use crate::normalize::mapper::Mapper;

use super::actor;

/// Writes the changed user or role, and the policy; `false` when nobody is named.
pub(super) fn account(m: &mut Mapper<'_, '_>, version: OcsfVersion) -> bool {
    let request = m.fields.request_parameters;
    let response = m.fields.response_elements;
    let (user, role) = (m.get(response, "user"), m.get(response, "role"));
    let names = [
        m.get(request, "userName"),
        m.get(request, "roleName"),
        m.get(user, "userName"),
        m.get(role, "roleName"),
    ];
    let ids = [m.get(user, "userId"), m.get(role, "roleId")];
    let has_user = if is_any(m, &names) || is_any(m, &ids) {
        m.object("user", |m| {
            repeat_first(m, "name", &names);
            repeat_first(m, "uid", &ids);
        })
    } else {
        own_user(m)
    };
    let policy = m.get(request, "policyArn");
    if m.text(policy).is_some() {
        if version == OcsfVersion::V1_1 {
            m.object("policy", |m| repeat_first(m, "uid", &[policy]));
        } else {
            // `policy` is deprecated since 1.4.
            m.array("policies", |m| {
                m.element(|m| repeat_first(m, "uid", &[policy]));
            });
        }
    }
    has_user
}

/// Writes who signed in, or which role was taken on; `false` when neither is named.
pub(super) fn authentication(m: &mut Mapper<'_, '_>) -> bool {
    let request = m.fields.request_parameters;
    let response = m.fields.response_elements;
    let role = m.get(request, "roleArn");
    let session_name = m.get(request, "roleSessionName");
    let has_user = if is_any(m, &[role, session_name]) {
        m.object("user", |m| {
            repeat_first(m, "uid", &[role]);
            repeat_first(m, "name", &[session_name]);
        })
    } else {
        own_user(m)
    };
    m.object("session", |m| {
        let assumed = m.get(response, "assumedRoleUser");
        repeat_first(m, "uid", &[m.get(assumed, "arn")]);
        repeat_first(m, "uid_alt", &[m.get(assumed, "assumedRoleId")]);
        repeat_first(m, "credential_uid", &[m.get(m.get(response, "credentials"), "accessKeyId")]);
    });
    let more = m.fields.additional_event_data;
    let mfa = m.get(more, "MFAUsed");
    if let (Some(value), Some(used @ ("Yes" | "No"))) = (mfa, m.text(mfa)) {
        m.w.boolean("is_mfa", used == "Yes");
        m.mark(value);
    }
    let has_endpoint = m.object("dst_endpoint", |m| {
        m.put("svc_name", m.get(more, "LoginTo"));
    });
    let source = m.fields.event_source;
    let has_service = m.object("service", |m| repeat_first(m, "name", &[source]));
    has_user && (has_endpoint || has_service)
}

/// The caller, about whom an event is that names nobody else; in the end the account that it happened to.
fn own_user(m: &mut Mapper<'_, '_>) -> bool {
    let identity = m.fields.user_identity;
    let arn = m.get(identity, "arn");
    let principal = m.get(identity, "principalId");
    let name = actor::user_name(m);
    let accounts = [m.get(identity, "accountId"), m.fields.recipient_account_id];
    if !is_any(m, &[arn, principal, name]) && !is_any(m, &accounts) {
        return false;
    }
    m.object("user", |m| {
        repeat_first(m, "name", &[name]);
        if is_any(m, &[arn, name]) {
            repeat_first(m, "uid", &[arn]);
            repeat_first(m, "uid_alt", &[principal]);
        } else {
            repeat_first(m, "uid", &[principal]);
        }
        if !is_any(m, &[arn, principal, name]) {
            m.object("account", |m| repeat_first(m, "uid", &accounts));
        }
    })
}

fn is_any(m: &Mapper<'_, '_>, values: &[Option<Value<'_>>]) -> bool {
    values.iter().flatten().any(|value| {
        let text = if m.redacted.is_kept(*value) { value.string() } else { m.redacted.replacement(*value) };
        text.is_some_and(|text| !text.is_empty())
    })
}

/// Writes a string that stands elsewhere too (in `actor` or in the request's data): nothing is used up.
fn repeat_first<'p>(m: &mut Mapper<'p, '_>, key: &str, values: &[Option<Value<'p>>]) {
    if let Some(text) = values.iter().find_map(|value| m.text(*value)) {
        m.w.string(key, text);
    }
}
