//! The configuration as every command gets it: loaded with the process's environment, or its problems shown.

use serde_json::{Value, json};

use crate::config::{Config, Origin, Problems};

use super::{ExitCode, Global, Output};

/// Loads the configuration. When it does not hold, every problem is shown and the exit code is given back.
pub(super) fn load(global: &Global, output: &mut Output) -> Result<Config, ExitCode> {
    read(global).map_err(|problems| {
        if output.is_json() {
            output.json(&json!({ "valid": false, "problems": describe(&problems) }));
        } else {
            output.trouble(&problems.to_string());
        }
        ExitCode::Configuration
    })
}

/// Loads the configuration, or gives its problems back.
pub(super) fn read(global: &Global) -> Result<Config, Problems> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        if name.starts_with("TRAILHAUL__") {
            let value = value.into_string().map_err(|_| Problems::not_text(&global.config, &name))?;
            variables.push((name, value));
        }
    }
    Config::load_with(&global.config, &|name| std::env::var(name).ok(), &variables)
}

fn describe(problems: &Problems) -> Vec<Value> {
    let list = problems.list().iter().map(|problem| {
        let (line, column, variable) = match &problem.origin {
            Origin::File { line, column } => (Some(*line), Some(*column), None),
            Origin::Variable(name) => (None, None, Some(name)),
            Origin::Whole => (None, None, None),
        };
        json!({
            "key": problem.key,
            "line": line,
            "column": column,
            "variable": variable,
            "message": problem.message,
        })
    });
    list.collect()
}
