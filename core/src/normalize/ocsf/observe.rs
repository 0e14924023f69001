//! `observables`: the values of an event that an investigator searches for, each with where it stands.

use crate::normalize::classify::OcsfClass;
use crate::normalize::mapper::Mapper;

use super::actor::{self, Source};
use super::resource_arn;

const HOSTNAME: (i64, &str) = (1, "Hostname");
const IP_ADDRESS: (i64, &str) = (2, "IP Address");
const USER_NAME: (i64, &str) = (4, "User Name");
const RESOURCE_UID: (i64, &str) = (10, "Resource UID");

/// Resources that are listed as observables, at most; a record can name thousands, and all are in `resources`.
const MAX_RESOURCES: usize = 32;

/// Writes `observables`.
pub(super) fn write(m: &mut Mapper<'_, '_>, class: OcsfClass) {
    m.array("observables", |m| {
        if let Some(name) = m.text(actor::user_name(m)) {
            observable(m, "actor.user.name", USER_NAME, name);
        }
        if let Some(name) = target_name(m, class) {
            observable(m, "user.name", USER_NAME, name);
        }
        match actor::source(m) {
            Some(Source::Ip(address)) => observable(m, "src_endpoint.ip", IP_ADDRESS, address),
            Some(Source::Service(name)) => observable(m, "src_endpoint.domain", HOSTNAME, name),
            Some(Source::Hidden(_)) | None => {}
        }
        if class == OcsfClass::Api {
            resources(m);
        }
    });
}

/// The name under `user`; see `target`.
fn target_name<'p>(m: &Mapper<'p, '_>, class: OcsfClass) -> Option<&'p str> {
    let request = m.fields.request_parameters;
    let named: &[&str] = match class {
        OcsfClass::Api => return None,
        OcsfClass::Account => &["userName", "roleName"],
        OcsfClass::Authentication => &["roleSessionName"],
    };
    named.iter().find_map(|key| m.text(m.get(request, key)))
}

fn resources(m: &mut Mapper<'_, '_>) {
    let Some(resources) = m.resources() else { return };
    let with_arn = resources.children().filter_map(|resource| resource_arn(m, resource)).take(MAX_RESOURCES);
    for arn in with_arn.collect::<Vec<_>>() {
        if let Some(uid) = m.text(Some(arn)) {
            observable(m, "resources[].uid", RESOURCE_UID, uid);
        }
    }
}

fn observable(m: &mut Mapper<'_, '_>, name: &str, kind: (i64, &str), value: &str) {
    m.element(|m| {
        m.w.string("name", name);
        m.w.integer("type_id", kind.0);
        m.w.string("type", kind.1);
        m.w.string("value", value);
    });
}
