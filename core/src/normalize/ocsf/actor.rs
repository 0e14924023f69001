//! Who acted, and from where: `actor` and `src_endpoint`.

use crate::model::json::Value;
use crate::normalize::OcsfVersion;
use crate::normalize::mapper::Mapper;

use super::is_ip;

/// Writes `actor`; `false` when the record says nothing about who acted.
pub(super) fn write(m: &mut Mapper<'_, '_>, version: OcsfVersion) -> bool {
    let identity = m.fields.user_identity;
    let context = m.get(identity, "sessionContext");
    // `idp` alone does not make an actor; its own constraint is met by either of its members.
    let mut acts = false;
    m.object("actor", |m| {
        acts |= user(m, version, identity);
        acts |= m.object("session", |m| {
            let attributes = m.get(context, "attributes");
            m.put_time("created_time", "created_time_dt", m.get(attributes, "creationDate"));
            m.put_boolean("is_mfa", m.get(attributes, "mfaAuthenticated"));
            m.put("issuer", m.get(m.get(context, "sessionIssuer"), "arn"));
        });
        // Deprecated since 1.2 in favour of the application's name.
        let invoked_by = if version == OcsfVersion::V1_1 { "invoked_by" } else { "app_name" };
        acts |= m.put(invoked_by, m.get(identity, "invokedBy"));
        if acts {
            m.object("idp", |m| {
                let federation = m.get(context, "webIdFederationData");
                let top = m.get(identity, "webIdFederationData");
                let names = [
                    m.get(federation, "federatedProvider"),
                    m.get(top, "federatedProvider"),
                    m.get(identity, "identityProvider"),
                ];
                m.put_first("name", &names);
                m.put("uid", m.get(m.get(identity, "onBehalfOf"), "identityStoreArn"));
            });
        }
    })
}

/// Writes `actor.user`, unless nothing identifies it: an AWS service has a type and no more.
fn user<'p>(m: &mut Mapper<'p, '_>, version: OcsfVersion, identity: Option<Value<'p>>) -> bool {
    let name = user_name(m);
    let arn = m.get(identity, "arn");
    let principal = m.get(identity, "principalId");
    let account = m.get(identity, "accountId");
    let has_more = [name, arn, account].iter().any(|value| m.text(*value).is_some());
    if !has_more && m.text(principal).is_none() {
        return false;
    }
    m.object("user", |m| {
        m.put("type", m.get(identity, "type"));
        m.put("name", name);
        if has_more {
            m.put("uid", arn);
            m.put_first("uid_alt", &[principal, m.get(m.get(identity, "onBehalfOf"), "userId")]);
        } else {
            m.put("uid", principal);
        }
        m.object("account", |m| {
            m.put("uid", account);
        });
        let credentials = [m.get(identity, "accessKeyId"), m.get(identity, "credentialId")];
        if version == OcsfVersion::V1_8 {
            // `credential_uid` is deprecated since 1.6.
            m.array("programmatic_credentials", |m| {
                m.element(|m| {
                    m.put_first("uid", &credentials);
                });
            });
        } else {
            m.put_first("credential_uid", &credentials);
        }
    })
}

/// The acting user's name: Identity Center writes it beside the identity.
pub(super) fn user_name<'p>(m: &Mapper<'p, '_>) -> Option<Value<'p>> {
    let names =
        [m.get(m.fields.user_identity, "userName"), m.get(m.fields.additional_event_data, "UserName")];
    names.into_iter().find(|name| m.text(*name).is_some()).flatten()
}

/// What `sourceIPAddress` turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'p> {
    /// An address.
    Ip(&'p str),
    /// The name of an AWS service, or `AWS Internal`.
    Service(&'p str),
    /// Redacted: neither.
    Hidden(&'p str),
}

/// Reads `sourceIPAddress`.
pub(super) fn source<'p>(m: &Mapper<'p, '_>) -> Option<Source<'p>> {
    let value = m.fields.source_ip_address;
    let text = m.text(value)?;
    if value.is_some_and(|value| !m.redacted.is_kept(value)) {
        return Some(Source::Hidden(text));
    }
    Some(if is_ip(text) { Source::Ip(text) } else { Source::Service(text) })
}

/// Writes `src_endpoint`; `false` when the record does not say where the call came from.
pub(super) fn endpoint(m: &mut Mapper<'_, '_>, version: OcsfVersion) -> bool {
    let address = m.fields.source_ip_address;
    let source = source(m);
    m.object("src_endpoint", |m| {
        match source {
            Some(Source::Ip(_)) => m.put("ip", address),
            Some(Source::Hidden(_)) => m.put("name", address),
            Some(Source::Service(name)) => {
                m.put("domain", address);
                // In 1.1 a domain alone does not name an endpoint.
                if version == OcsfVersion::V1_1 {
                    m.w.string("svc_name", name);
                }
                true
            }
            None => false,
        };
        m.put("uid", m.fields.vpc_endpoint_id);
    })
}
