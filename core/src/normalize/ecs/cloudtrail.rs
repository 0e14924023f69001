//! `aws.cloudtrail`: CloudTrail's own fields under their names in snake case.

use crate::model::json::{Kind, Value};
use crate::normalize::mapper::Mapper;
use crate::normalize::time;

/// Texts of this many bytes or more are not written a second time as `flattened`: Lucene's limit of a term.
const MAX_FLATTENED: usize = 32_766;

/// Writes the members of `aws.cloudtrail`.
pub(super) fn write(m: &mut Mapper<'_, '_>) {
    let f = m.fields;
    m.put("event_version", f.event_version);
    m.put("event_type", f.event_type);
    m.put("event_category", f.event_category);
    m.object("user_identity", user_identity);
    m.put("api_version", f.api_version);
    m.put("request_id", f.request_id);
    m.put("error_code", f.error_code);
    m.put("error_message", f.error_message);
    m.put_boolean("read_only", f.read_only);
    if let (Some(value), Some(managed)) = (f.management_event, m.boolean(f.management_event)) {
        m.w.string("management_event", if managed { "true" } else { "false" });
        m.mark(value);
    }
    if let (Some(value), Some(console)) =
        (f.session_credential_from_console, m.boolean(f.session_credential_from_console))
    {
        m.w.string("session_credential_from_console", if console { "true" } else { "false" });
        m.mark(value);
    }
    m.put("recipient_account_id", f.recipient_account_id);
    m.put("shared_event_id", f.shared_event_id);
    m.put("vpc_endpoint_id", f.vpc_endpoint_id);
    m.put("vpc_endpoint_account_id", f.vpc_endpoint_account_id);
    m.object("tls_details", |m| {
        m.put("key_exchange", m.get(f.tls_details, "keyExchange"));
    });
    m.object("addendum", |m| {
        m.put("reason", m.get(f.addendum, "reason"));
        m.put("updated_fields", m.get(f.addendum, "updatedFields"));
        m.put("original_request_id", m.get(f.addendum, "originalRequestID"));
        m.put("original_event_id", m.get(f.addendum, "originalEventID"));
    });
    resources(m);
    console_login(m);
    m.put_json_text("request_parameters", f.request_parameters);
    m.put_json_text("response_elements", f.response_elements);
    m.put_json_text("additional_eventdata", f.additional_event_data);
    m.put_json_text("service_event_details", f.service_event_details);
    m.object("flattened", flattened);
}

/// Objects only: the field type cannot hold anything else.
fn flattened(m: &mut Mapper<'_, '_>) {
    let f = m.fields;
    let short = |value: Option<Value<'_>>| value.is_some_and(|value| value.text().len() < MAX_FLATTENED);
    for (key, value) in [
        ("request_parameters", f.request_parameters),
        ("response_elements", f.response_elements),
        ("additional_eventdata", f.additional_event_data),
        ("service_event_details", f.service_event_details),
        ("insight_details", f.insight_details),
    ] {
        let object = value.filter(|value| value.kind() == Kind::Object && m.redacted.is_kept(*value));
        if short(object) {
            m.put_json(key, object);
        }
    }
}

fn user_identity(m: &mut Mapper<'_, '_>) {
    let identity = m.fields.user_identity;
    m.put("type", m.get(identity, "type"));
    m.put("principal_id", m.get(identity, "principalId"));
    m.put("arn", m.get(identity, "arn"));
    m.put("access_key_id", m.get(identity, "accessKeyId"));
    m.put("credential_id", m.get(identity, "credentialId"));
    m.put("invoked_by", m.get(identity, "invokedBy"));
    m.put("identity_provider", m.get(identity, "identityProvider"));
    m.object("invoked_by_delegate", |m| {
        m.put("account_id", m.get(m.get(identity, "invokedByDelegate"), "accountId"));
    });
    m.object("on_behalf_of", |m| {
        let other = m.get(identity, "onBehalfOf");
        m.put("user_id", m.get(other, "userId"));
        m.put("identity_store_arn", m.get(other, "identityStoreArn"));
    });
    m.object("in_scope_of", |m| {
        let scope = m.get(identity, "inScopeOf");
        m.put("issuer_type", m.get(scope, "issuerType"));
        m.put("credentials_issued_to", m.get(scope, "credentialsIssuedTo"));
        m.put("source_arn", m.get(scope, "sourceArn"));
        m.put("source_account", m.get(scope, "sourceAccount"));
    });
    m.object("session_context", |m| session_context(m, m.get(identity, "sessionContext")));
}

fn session_context<'p>(m: &mut Mapper<'p, '_>, context: Option<Value<'p>>) {
    let attributes = m.get(context, "attributes");
    m.put("mfa_authenticated", m.get(attributes, "mfaAuthenticated"));
    date(m, "creation_date", m.get(attributes, "creationDate"));
    m.object("session_issuer", |m| {
        let issuer = m.get(context, "sessionIssuer");
        m.put("type", m.get(issuer, "type"));
        m.put("principal_id", m.get(issuer, "principalId"));
        m.put("arn", m.get(issuer, "arn"));
        m.put("account_id", m.get(issuer, "accountId"));
    });
    m.put("ec2_role_delivery", m.get(context, "ec2RoleDelivery"));
    m.put("source_identity", m.get(context, "sourceIdentity"));
    m.put("assumed_root", m.get(context, "assumedRoot"));
    m.put("sign_in_session_arn", m.get(context, "signInSessionArn"));
    m.object("web_id_federation_data", |m| {
        let federation = m.get(context, "webIdFederationData");
        m.put("federated_provider", m.get(federation, "federatedProvider"));
        m.put_json("attributes", m.get(federation, "attributes"));
    });
}

fn date<'p>(m: &mut Mapper<'p, '_>, key: &str, value: Option<Value<'p>>) {
    let (Some(value), Some(text)) = (value, m.text(value)) else { return };
    let Some(millis) = time::parse_millis(text) else { return };
    m.w.date(key, millis);
    m.mark_time(value, text);
}

/// Writes each resource once; the same ARN, account and type again says nothing new.
fn resources(m: &mut Mapper<'_, '_>) {
    let Some(resources) = m.resources() else { return };
    let mut seen = std::collections::HashSet::new();
    m.array("resources", |m| {
        for resource in resources.children() {
            let resource = Some(resource);
            let arn = [m.get(resource, "ARN"), m.get(resource, "arn")];
            let arn = arn.into_iter().find(|arn| m.text(*arn).is_some()).flatten();
            let rest = ["ARNPrefix", "accountId", "type"].map(|key| m.get(resource, key));
            let [prefix, account, kind] = rest;
            let known = [arn, prefix, account, kind];
            if !seen.insert(known.map(|value| m.text(value))) {
                let repeated = known.into_iter().flatten().filter(|value| m.text(Some(*value)).is_some());
                repeated.collect::<Vec<_>>().into_iter().for_each(|value| m.mark(value));
                continue;
            }
            m.element(|m| {
                m.put("arn", arn);
                m.put("ARNPrefix", prefix);
                m.put("account_id", account);
                m.put("type", kind);
            });
        }
    });
}

fn console_login(m: &mut Mapper<'_, '_>) {
    if m.text(m.fields.event_name) != Some("ConsoleLogin") {
        return;
    }
    let more = m.fields.additional_event_data;
    m.object("console_login", |m| {
        m.object("additional_eventdata", |m| {
            if let Some(mobile) = m.text(m.get(more, "MobileVersion")) {
                m.w.boolean("mobile_version", mobile != "No");
            }
            if let Some(place) = m.text(m.get(more, "LoginTo")) {
                m.w.string("login_to", place);
            }
            if let Some(mfa) = m.text(m.get(more, "MFAUsed")) {
                m.w.boolean("mfa_used", mfa != "No");
            }
        });
    });
}
