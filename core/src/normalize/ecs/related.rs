//! `related`: users, addresses and hosts of an event in one place each, without repeats.

use crate::model::json::{Kind, Value};
use crate::normalize::mapper::Mapper;

use super::{Source, identity};

/// Names per list, at most; a record can name thousands of instances, and all are in its parameters.
const MAX_NAMES: usize = 64;

/// Writes `related`.
pub(super) fn write(m: &mut Mapper<'_, '_>, source: Source<'_>) {
    let users = users(m);
    let addresses = addresses(m, source);
    let hosts = hosts(m, source);
    m.object("related", |m| {
        list(m, "user", &users);
        list(m, "ip", &addresses);
        list(m, "hosts", &hosts);
    });
}

fn list(m: &mut Mapper<'_, '_>, key: &str, names: &[&str]) {
    m.array(key, |m| {
        for name in names {
            m.w.separate();
            m.w.quoted(name);
        }
    });
}

fn add<'p>(names: &mut Vec<&'p str>, name: Option<&'p str>) {
    let Some(name) = name else { return };
    if names.len() < MAX_NAMES && !names.contains(&name) {
        names.push(name);
    }
}

fn users<'p>(m: &Mapper<'p, '_>) -> Vec<&'p str> {
    let identity = m.fields.user_identity;
    let request = m.fields.request_parameters;
    let session = identity::session_name(m);
    let mut names = Vec::new();
    add(&mut names, session);
    add(
        &mut names,
        session.and_then(|name| name.split_once('@')).map(|(user, _)| user).filter(|user| !user.is_empty()),
    );
    add(&mut names, m.text(m.get(request, "userName")));
    add(&mut names, m.text(m.get(request, "newUserName")));
    add(&mut names, m.text(m.get(m.get(m.fields.response_elements, "user"), "userId")));
    add(&mut names, m.text(m.get(identity, "principalId")));
    add(&mut names, identity::id(m));
    add(&mut names, m.text(identity::name(m)));
    add(&mut names, m.text(m.get(m.get(identity, "onBehalfOf"), "userId")));
    names
}

fn addresses<'p>(m: &Mapper<'p, '_>, source: Source<'p>) -> Vec<&'p str> {
    let mut found = Vec::new();
    add(&mut found, source.address.filter(|_| source.is_ip));
    let service = m.text(m.get(m.fields.service_event_details, "sourceIpAddress"));
    add(&mut found, service.filter(|text| text.parse::<std::net::IpAddr>().is_ok()));
    found
}

fn hosts<'p>(m: &Mapper<'p, '_>, source: Source<'p>) -> Vec<&'p str> {
    let mut names = Vec::new();
    let is_foreign = |name: &&str| !name.ends_with(".amazonaws.com");
    add(&mut names, m.text(m.get(m.fields.tls_details, "clientProvidedHostHeader")).filter(is_foreign));
    let address = source.address.filter(|name| !source.is_ip && name.contains('.') && !name.contains(' '));
    add(&mut names, address.filter(is_foreign));
    add(&mut names, m.text(m.get(m.fields.request_parameters, "computerName")));
    if let Some(resources) = m.resources() {
        for resource in resources.children().take(MAX_NAMES) {
            let arn = m.text(m.get(Some(resource), "ARN")).filter(|arn| arn.contains(":instance/"));
            instance(&mut names, arn.and_then(|arn| arn.rsplit_once('/')).map(|(_, id)| id));
        }
    }
    instances(m, m.fields.request_parameters, &mut names);
    instances(m, m.fields.response_elements, &mut names);
    names
}

/// Adds an EC2 instance id.
fn instance<'p>(names: &mut Vec<&'p str>, id: Option<&'p str>) {
    add(names, id.filter(|id| id.len() >= 10 && id.starts_with("i-")));
}

/// Adds the instance ids of parameters or response elements, in the shapes that EC2 and SSM give them.
fn instances<'p>(m: &Mapper<'p, '_>, container: Option<Value<'p>>, names: &mut Vec<&'p str>) {
    for key in ["instanceId", "target", "resourceId"] {
        instance(names, m.text(m.get(container, key)));
    }
    let list = |value: Option<Value<'p>>| {
        value.filter(|value| value.kind() == Kind::Array && m.redacted.is_kept(*value))
    };
    for id in list(m.get(container, "instanceIds")).iter().flat_map(|ids| ids.children()).take(MAX_NAMES) {
        instance(names, m.text(Some(id)));
    }
    let items = list(m.get(m.get(container, "instancesSet"), "items"));
    for item in items.iter().flat_map(|items| items.children()).take(MAX_NAMES) {
        instance(names, m.text(m.get(Some(item), "instanceId")));
    }
}
