//! `user` and `group`: who acted, on whom.

use crate::model::json::Value;
use crate::normalize::mapper::Mapper;

/// Writes `user` and `group`.
pub(super) fn write(m: &mut Mapper<'_, '_>) {
    let request = m.fields.request_parameters;
    let response = m.fields.response_elements;
    m.object("user", |m| {
        let name = name(m);
        let named = m.text(name);
        m.put("name", name);
        if let Some(id) = id(m) {
            m.w.string("id", id);
        }
        let email = session_name(m).filter(|session| session.contains('@'));
        let email = email.or(named.filter(|name| name.find('@').is_some_and(|at| at > 0)));
        if let Some(email) = email {
            m.w.string("email", email);
        }
        m.object("target", |m| {
            repeat(m, "name", m.get(request, "userName"));
            repeat(m, "id", m.get(m.get(response, "user"), "userId"));
        });
        m.object("changes", |m| repeat(m, "name", m.get(request, "newUserName")));
    });
    m.object("group", |m| {
        repeat(m, "name", m.get(request, "groupName"));
        repeat(m, "id", m.get(m.get(response, "group"), "groupId"));
    });
}

/// Writes a string that stands elsewhere too.
fn repeat<'p>(m: &mut Mapper<'p, '_>, key: &str, value: Option<Value<'p>>) {
    if let Some(text) = m.text(value) {
        m.w.string(key, text);
    }
}

fn issuer<'p>(m: &Mapper<'p, '_>) -> Option<Value<'p>> {
    m.get(m.get(m.fields.user_identity, "sessionContext"), "sessionIssuer")
}

fn identity_type<'p>(m: &Mapper<'p, '_>) -> Option<&'p str> {
    m.text(m.get(m.fields.user_identity, "type"))
}

/// The role's name of an assumed role, else the user's.
pub(super) fn name<'p>(m: &Mapper<'p, '_>) -> Option<Value<'p>> {
    let issuer_name = m.get(issuer(m), "userName");
    if matches!(identity_type(m), Some("AssumedRole" | "FederatedUser")) && m.text(issuer_name).is_some() {
        return issuer_name;
    }
    let own = m.get(m.fields.user_identity, "userName");
    if m.text(own).is_some() {
        return own;
    }
    let signs_in = m.text(m.fields.event_name) == Some("UserAuthentication");
    m.get(m.fields.additional_event_data, "UserName").filter(|_| signs_in)
}

/// The id that names the user, the role rather than its session.
pub(super) fn id<'p>(m: &Mapper<'p, '_>) -> Option<&'p str> {
    let identity = m.fields.user_identity;
    let principal = m.text(m.get(identity, "principalId"));
    let better = match identity_type(m) {
        Some("IAMUser" | "Root") => m.text(m.get(identity, "arn")),
        Some("AssumedRole") => m.text(m.get(issuer(m), "arn")),
        Some("IdentityCenterUser") if principal.is_none() => {
            m.text(m.get(m.get(identity, "onBehalfOf"), "userId"))
        }
        _ => None,
    };
    better.or(principal)
}

/// The session's name at the end of an STS ARN.
pub(super) fn session_name<'p>(m: &Mapper<'p, '_>) -> Option<&'p str> {
    let has_session =
        matches!(identity_type(m), Some("AssumedRole" | "FederatedUser" | "IdentityCenterUser"));
    let arn =
        m.text(m.get(m.fields.user_identity, "arn")).filter(|arn| has_session && arn.contains(":sts:"))?;
    arn.rsplit_once('/').map(|(_, session)| session).filter(|session| !session.is_empty())
}
