//! The columns of each class: every attribute that [`crate::normalize`] writes, in any version of OCSF.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::errors::Result;
use parquet::schema::types::{Type, TypePtr};

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Its name in OCSF.
    pub(super) name: &'static str,
    /// What it holds.
    pub(super) shape: Shape,
}

/// What an attribute holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// An integer of 32 bits.
    Integer,
    /// An integer of 64 bits: milliseconds since the epoch, a type_uid.
    Long,
    /// A boolean.
    Boolean,
    /// An object.
    Group(&'static [Field]),
    /// A list of strings.
    Texts,
    /// A list of objects.
    Groups(&'static [Field]),
    /// An object whose members are strings, with any names.
    Map,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape }
}

const fn text(name: &'static str) -> Field {
    field(name, Shape::Text)
}

use Shape::{Boolean, Group, Groups, Integer, Long, Map, Text, Texts};

const UID: &[Field] = &[text("uid")];
const NAME: &[Field] = &[text("name")];
const ACCOUNT: &[Field] = &[text("name"), text("uid")];

const USER: &[Field] = &[
    text("type"),
    text("name"),
    text("uid"),
    text("uid_alt"),
    field("account", Group(ACCOUNT)),
    text("credential_uid"),
    field("programmatic_credentials", Groups(UID)),
];
const SESSION: &[Field] = &[
    field("created_time", Long),
    text("created_time_dt"),
    field("is_mfa", Boolean),
    text("issuer"),
    text("uid"),
    text("uid_alt"),
    text("credential_uid"),
];
const ACTOR: &[Field] = &[
    field("user", Group(USER)),
    field("session", Group(SESSION)),
    text("invoked_by"),
    text("app_name"),
    field("idp", Group(ACCOUNT)),
];
const API: &[Field] = &[
    text("operation"),
    text("version"),
    field("service", Group(NAME)),
    field("request", Group(&[text("uid"), text("data")])),
    field("response", Group(&[text("error"), text("message"), text("data")])),
];
const METADATA: &[Field] = &[
    text("version"),
    field("profiles", Texts),
    text("uid"),
    text("event_code"),
    field("processed_time", Long),
    text("processed_time_dt"),
    field(
        "product",
        Group(&[text("name"), text("vendor_name"), text("version"), field("feature", Group(NAME))]),
    ),
];
const TAG: &[Field] = &[text("name"), text("value")];
const CLOUD_ACCOUNT: &[Field] = &[text("name"), text("uid"), field("tags", Groups(TAG))];
const CLOUD: &[Field] = &[
    text("provider"),
    text("region"),
    field("account", Group(CLOUD_ACCOUNT)),
    field("org", Group(&[text("uid"), text("ou_name")])),
];
const ENDPOINT: &[Field] = &[text("ip"), text("domain"), text("name"), text("svc_name"), text("uid")];
const HTTP: &[Field] = &[text("user_agent")];
const RESOURCE: &[Field] =
    &[text("uid"), text("type"), field("owner", Group(&[field("account", Group(ACCOUNT))]))];
const OBSERVABLE: &[Field] = &[text("name"), field("type_id", Integer), text("type"), text("value")];

/// The attributes of every class, and then its own.
macro_rules! class {
    ($($own:expr),* $(,)?) => {
        &[
            field("time", Long),
            text("time_dt"),
            field("class_uid", Integer),
            text("class_name"),
            field("category_uid", Integer),
            text("category_name"),
            field("activity_id", Integer),
            text("activity_name"),
            field("type_uid", Long),
            text("type_name"),
            field("severity_id", Integer),
            text("severity"),
            field("status_id", Integer),
            text("status"),
            field("metadata", Group(METADATA)),
            field("cloud", Group(CLOUD)),
            $($own,)*
            field("unmapped", Map),
        ]
    };
}

const API_ACTIVITY: &[Field] = class![
    field("actor", Group(ACTOR)),
    field("api", Group(API)),
    field("src_endpoint", Group(ENDPOINT)),
    field("http_request", Group(HTTP)),
    field("resources", Groups(RESOURCE)),
    field("observables", Groups(OBSERVABLE)),
];
const ACCOUNT_CHANGE: &[Field] = class![
    field("actor", Group(ACTOR)),
    field("api", Group(API)),
    field("src_endpoint", Group(ENDPOINT)),
    field("http_request", Group(HTTP)),
    field("user", Group(USER)),
    field("policy", Group(UID)),
    field("policies", Groups(UID)),
    field("observables", Groups(OBSERVABLE)),
];
const AUTHENTICATION: &[Field] = class![
    field("actor", Group(ACTOR)),
    field("api", Group(API)),
    field("src_endpoint", Group(ENDPOINT)),
    field("http_request", Group(HTTP)),
    field("user", Group(USER)),
    field("session", Group(SESSION)),
    field("is_mfa", Boolean),
    field("dst_endpoint", Group(ENDPOINT)),
    field("service", Group(NAME)),
    field("observables", Groups(OBSERVABLE)),
];
const DETECTION_FINDING: &[Field] =
    class![field("finding_info", Group(&[text("uid"), text("title")])), field("api", Group(API))];
const BASE_EVENT: &[Field] =
    class![field("start_time", Long), text("start_time_dt"), field("end_time", Long), text("end_time_dt"),];

/// The classes by their uid.
pub(super) const CLASSES: [(u32, &[Field]); 5] = [
    (6003, API_ACTIVITY),
    (3001, ACCOUNT_CHANGE),
    (3002, AUTHENTICATION),
    (2004, DETECTION_FINDING),
    (0, BASE_EVENT),
];

/// The Parquet schema of a class.
pub(super) fn message(fields: &[Field]) -> Result<Type> {
    Type::group_type_builder("ocsf").with_fields(types(fields)?).build()
}

fn types(fields: &[Field]) -> Result<Vec<TypePtr>> {
    fields.iter().map(|field| one(field).map(Arc::new)).collect()
}

fn one(field: &Field) -> Result<Type> {
    let optional = Repetition::OPTIONAL;
    match field.shape {
        Text => string(field.name, optional),
        Integer => primitive(field.name, Physical::INT32),
        Long => primitive(field.name, Physical::INT64),
        Boolean => primitive(field.name, Physical::BOOLEAN),
        Group(fields) => group(field.name, optional, None, types(fields)?),
        Texts => list(field.name, string("element", optional)?),
        Groups(fields) => list(field.name, group("element", optional, None, types(fields)?)?),
        Map => {
            let pair =
                vec![Arc::new(string("key", Repetition::REQUIRED)?), Arc::new(string("value", optional)?)];
            let pairs = group("key_value", Repetition::REPEATED, None, pair)?;
            group(field.name, optional, Some(LogicalType::Map), vec![Arc::new(pairs)])
        }
    }
}

fn primitive(name: &str, physical: Physical) -> Result<Type> {
    Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL).build()
}

fn string(name: &str, repetition: Repetition) -> Result<Type> {
    Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::String))
        .build()
}

fn list(name: &str, element: Type) -> Result<Type> {
    let repeated = group("list", Repetition::REPEATED, None, vec![Arc::new(element)])?;
    group(name, Repetition::OPTIONAL, Some(LogicalType::List), vec![Arc::new(repeated)])
}

fn group(
    name: &str,
    repetition: Repetition,
    logical: Option<LogicalType>,
    fields: Vec<TypePtr>,
) -> Result<Type> {
    Type::group_type_builder(name)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_fields(fields)
        .build()
}
