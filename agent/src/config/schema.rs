//! The JSON Schema of the configuration file, made from the key tables.
//!
//! In: the tables. Out: a schema (draft 2020-12) for editors and pipelines. Invariant: what the parser accepts
//! the schema accepts; the schema is the weaker of the two, because bounds of durations and sizes and the
//! rules between keys cannot be said in it. `config/schema.json` is its printed form, and a test keeps it so.

use serde_json::{Map, Value, json};

use super::ROOT;
use super::key::{Form, Key, Kind};
use super::value::{show_duration, show_size};

/// The whole schema.
pub fn schema() -> Value {
    let mut schema = group(ROOT);
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".into(), json!("trailhaul configuration"));
        map.insert("type".into(), json!("object"));
        let env = json!({
            "type": "string",
            "pattern": r"\$\{env:[A-Za-z0-9_]+\}",
            "description": "A value that holds references to the environment.",
        });
        map.insert("$defs".into(), json!({ "env": env }));
    }
    schema
}

/// The schema as it is printed and kept: indented, with a line break at its end.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

fn group(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        properties.insert(key.name.to_owned(), property(key));
    }
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut out = json!({
        "type": if required.is_empty() { json!(["object", "null"]) } else { json!("object") },
        "additionalProperties": false,
        "properties": properties,
    });
    if let (false, Value::Object(map)) = (required.is_empty(), &mut out) {
        map.insert("required".into(), json!(required));
    }
    out
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Value::Object(map) = &mut schema {
        let bounds = bounds(&key.kind).map(|bounds| format!(" {bounds}")).unwrap_or_default();
        map.insert("description".into(), json!(format!("{}{bounds}", key.doc)));
        if let Some(default) = key.default {
            map.insert("default".into(), default_value(&key.kind, default));
        }
    }
    schema
}

fn kind(kind: &Kind) -> Value {
    let env = json!({ "$ref": "#/$defs/env" });
    match kind {
        Kind::Text(form) => text_form(*form),
        Kind::Flag => json!({ "anyOf": [{ "type": "boolean" }, { "enum": ["true", "false"] }, env] }),
        Kind::Count(least, most) => json!({
            "anyOf": [
                { "type": "integer", "minimum": least, "maximum": most },
                { "type": "string", "pattern": "^[0-9]+$" },
                env,
            ]
        }),
        Kind::Duration(..) => json!({ "anyOf": [{ "type": "string", "pattern": DURATION }, env] }),
        Kind::Size(..) => json!({ "anyOf": [{ "type": "string", "pattern": SIZE }, env] }),
        Kind::Choice(names) => json!({ "anyOf": [{ "enum": names }, env] }),
        Kind::List(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::Texts => json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
        Kind::Group(keys) => group(keys),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
        Kind::Named(tagged) => {
            let variants: Vec<Value> = tagged
                .variants
                .iter()
                .map(|(word, keys)| {
                    let mut schema = group(keys);
                    if let Some(tag) = schema.pointer_mut(&format!("/properties/{}", tagged.tag)) {
                        *tag = json!({ "const": word });
                    }
                    schema
                })
                .collect();
            json!({
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "oneOf": variants },
            })
        }
    }
}

const DURATION: &str = "^([0-9]+(ms|s|m|h|d|w|y))+$";
const SIZE: &str = "^[0-9]+ ?(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)$";
const NAME: &str = "^[a-z0-9][a-z0-9-]{0,39}$";

/// Patterns are kept where they help an editor; whatever has no brief one is a text.
fn text_form(form: Form) -> Value {
    let pattern = match form {
        Form::Account => "^[0-9]{12}$",
        Form::Organization => "^o-[a-z0-9]{10,32}$",
        Form::Place => "^(s3://|file://[./])",
        Form::Url => "^https?://",
        Form::Region => "^[a-z0-9]+(-[a-z0-9]+)+$",
        Form::RoleArn => "^arn:aws[a-z-]*:iam::[0-9]{12}:role/",
        Form::Name => NAME,
        Form::Auto => return json!({ "const": "auto" }),
        Form::None => return json!({ "const": "none" }),
        Form::Any | Form::Secret | Form::Path | Form::Start | Form::Listen => {
            return json!({ "type": ["string", "number", "boolean"] });
        }
    };
    let mut options = vec![json!({ "type": "string", "pattern": pattern }), json!({ "$ref": "#/$defs/env" })];
    if form == Form::Account {
        // Twelve digits without quotes are a number to most readers of YAML.
        options.push(json!({ "type": "integer", "minimum": 0, "maximum": 999_999_999_999_u64 }));
    }
    json!({ "anyOf": options })
}

fn bounds(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Duration(least, most) => {
            Some(format!("{} to {}.", show_duration(*least), show_duration(*most)))
        }
        Kind::Size(least, most) => Some(format!("{} to {}.", show_size(*least), show_size(*most))),
        Kind::Count(least, most) => Some(format!("{least} to {most}.")),
        _ => None,
    }
}

fn default_value(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Flag => json!(text == "true"),
        Kind::Count(..) => text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)),
        _ => json!(text),
    }
}
