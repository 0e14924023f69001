//! The environment's part: `${env:NAME}` inside scalars, and whole values from `TRAILHAUL__A__B=…`.
//!
//! In: the tree of the file, a way to look variables up, and the variables that may override. Out: the same
//! tree with every reference resolved; what came from the environment is marked hidden, and no message ever
//! shows it. References are resolved after parsing, so a value cannot change the structure of the file. An
//! unset variable is a problem, not an empty text.

use config::Source as _;

use super::problem::{Origin, Problem};
use super::yaml::{Entry, MAX_DEPTH, Node, Value, clip};

/// Variables that override the file begin with this; the parts of the key's path are joined by `__`.
pub(super) const PREFIX: &str = "TRAILHAUL";

/// The longest value that a variable may bring.
const MAX_VALUE: usize = 64 << 10;

/// Resolves every `${env:NAME}` below a node.
pub(super) fn resolve(
    node: &mut Node,
    path: &str,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) {
    match &mut node.value {
        Value::Unresolved => {}
        Value::Scalar(text, _) => {
            if !text.contains("${") {
                return;
            }
            match interpolate(text, env) {
                Ok((resolved, hidden)) => {
                    *text = resolved;
                    node.hidden = hidden;
                }
                Err(message) => {
                    problems.push(Problem { origin: node.origin.clone(), key: path.to_owned(), message });
                    node.value = Value::Unresolved;
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                resolve(item, &format!("{path}[{index}]"), env, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = join(path, &entry.key);
                resolve(&mut entry.node, &path, env, problems);
            }
        }
    }
}

/// The text with its references replaced, and whether there were any. `$${` stands for a literal `${`.
fn interpolate(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(String, bool), String> {
    let mut out = String::new();
    let mut hidden = false;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            return Err("a ${ without its }; write $${ for a literal ${".into());
        };
        out.push_str(before);
        out.push_str(&variable(name, env)?);
        hidden = true;
        rest = after;
    }
    out.push_str(rest);
    Ok((out, hidden))
}

fn variable(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let shown = clip(name);
    let Some(name) = name.strip_prefix("env:") else {
        return Err(format!("${{{shown}}}: only ${{env:NAME}} is known; write $${{ for a literal ${{"));
    };
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !good {
        return Err(format!("${{{shown}}}: a variable's name is letters, digits and _"));
    }
    match env(name) {
        None => Err(format!("environment variable {} is not set", clip(name))),
        Some(value) if value.len() > MAX_VALUE => {
            Err(format!("environment variable {} is longer than 64 KiB", clip(name)))
        }
        Some(value) => Ok(value),
    }
}

/// Puts the values of `TRAILHAUL__…` variables into the tree, over what the file says.
pub(super) fn override_with(tree: &mut Node, variables: &[(String, String)], problems: &mut Vec<Problem>) {
    // The crate `config` knows the convention (prefix, separator, case); the tree here knows the positions.
    let names: config::Map<String, String> =
        variables.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
    let source =
        config::Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(names));
    let Ok(found) = source.collect() else { return };
    let mut found: Vec<(String, String)> =
        found.into_iter().filter_map(|(key, name)| Some((key, name.into_string().ok()?))).collect();
    found.sort();
    for (key, name) in found {
        let Some((_, value)) = variables.iter().find(|(known, _)| *known == name) else { continue };
        let parts: Vec<&str> = key.split('.').collect();
        let message = if value.len() > MAX_VALUE {
            Some("value is longer than 64 KiB")
        } else if parts.len() >= MAX_DEPTH || parts.iter().any(|part| part.is_empty()) {
            Some("not a key; write the parts of its path joined by __")
        } else {
            set(tree, &parts, &name, value).err()
        };
        if let Some(message) = message {
            let origin = Origin::Variable(clip(&name));
            problems.push(Problem { origin, key: clip(&key), message: message.to_owned() });
        }
    }
}

fn set(node: &mut Node, path: &[&str], name: &str, value: &str) -> Result<(), &'static str> {
    let origin = || Origin::Variable(clip(name));
    let Some((first, rest)) = path.split_first() else {
        if !matches!(node.value, Value::Scalar(..) | Value::Unresolved) {
            return Err("one value cannot replace a list or a group");
        }
        // Quoted: an empty variable is an empty text, and `~` is a tilde.
        *node = Node { value: Value::Scalar(value.to_owned(), false), origin: origin(), hidden: true };
        return Ok(());
    };
    if node.is_null() {
        node.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut node.value else {
        return Err("leads into a list or a plain value; only keys of groups can be overridden");
    };
    if !entries.iter().any(|entry| entry.key == *first) {
        let node = Node { value: Value::Scalar(String::new(), true), origin: origin(), hidden: true };
        entries.push(Entry { key: (*first).to_owned(), origin: origin(), node });
    }
    match entries.iter_mut().find(|entry| entry.key == *first) {
        Some(entry) => set(&mut entry.node, rest, name, value),
        None => Ok(()),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { clip(key) } else { format!("{path}.{}", clip(key)) }
}
