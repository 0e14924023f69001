//! What was called: `api` and `resources`.

use crate::normalize::mapper::Mapper;

use super::resource_arn;

/// Writes `api`. A request without an id is no request to OCSF: its parameters are left to `unmapped`, rather
/// than given an invented id.
pub(super) fn write(m: &mut Mapper<'_, '_>) {
    m.object("api", |m| {
        m.put("operation", m.fields.event_name);
        m.put("version", m.fields.api_version);
        m.object("service", |m| {
            m.put("name", m.fields.event_source);
        });
        if m.text(m.fields.request_id).is_some() {
            m.object("request", |m| {
                m.put("uid", m.fields.request_id);
                m.put_json_text("data", m.fields.request_parameters);
            });
        }
        m.object("response", |m| {
            m.put("error", m.fields.error_code);
            m.put("message", m.fields.error_message);
            m.put_json_text("data", m.fields.response_elements);
        });
    });
}

/// Writes `resources`, of those that have an ARN; the others are left to `unmapped`.
pub(super) fn resources(m: &mut Mapper<'_, '_>) {
    let Some(resources) = m.resources() else { return };
    m.array("resources", |m| {
        for resource in resources.children() {
            let Some(arn) = resource_arn(m, resource) else { continue };
            m.element(|m| {
                m.put("uid", Some(arn));
                m.put("type", m.get(Some(resource), "type"));
                m.object("owner", |m| {
                    m.object("account", |m| {
                        m.put("uid", m.get(Some(resource), "accountId"));
                    });
                });
            });
        }
    });
}
