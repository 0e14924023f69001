//! The real program: exit codes, what it prints where, and that it keeps secrets.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SECRET: &str = "correct-horse-battery-staple";

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(name)
}

fn trailhaul(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailhaul"));
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(variables.iter().copied());
    command.output().unwrap()
}

fn check(file: &str, more: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = config(file);
    let mut arguments = vec!["check", "--offline", "--config", path.to_str().unwrap()];
    arguments.extend(more);
    trailhaul(&arguments, variables)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_valid_configuration_is_explained() {
    let output = check("local.yaml", &[], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for word in
        ["copied", "archive (home)", "journal/ (sink archive, 16 lanes)", "the beginning", "warning: "]
    {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    assert_eq!(stderr(&output), "");
}

#[test]
fn json_is_json() {
    let output = check("local.yaml", &["--output", "json"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["valid"], true);
    assert_eq!(value["sinks"][0]["home"], true);
    assert_eq!(value["trails"][0]["carries"]["accounts"][0], "111122223333");
    assert_eq!(value["memory_bytes"], 256 << 20);
}

#[test]
fn every_problem_of_an_invalid_configuration_is_printed() {
    let output = check("invalid/unknown-keys.yaml", &[], &[]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(stdout(&output), "");
    let text = stderr(&output);
    assert!(
        text.contains("unknown-keys.yaml:11:5: sinks.archive.buckt: unknown key; did you mean \"bucket\"?"),
        "{text}"
    );
    assert!(text.contains("did you mean \"memory\"?"), "{text}");

    let output = check("invalid/unknown-keys.yaml", &["--output", "json"], &[]);
    assert_eq!(output.status.code(), Some(78));
    let value: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&value["valid"], &value["problems"][0]["line"]), (&false.into(), &2.into()));
}

#[test]
fn a_missing_file_is_a_problem_of_configuration() {
    let output = trailhaul(&["check", "--offline"], &[("TRAILHAUL_CONFIG", "/nonexistent/x.yaml")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).starts_with("/nonexistent/x.yaml: cannot be read"), "{}", stderr(&output));
}

#[test]
fn the_environment_overrides_and_is_never_shown() {
    let output = check("local.yaml", &["--output", "json"], &[("TRAILHAUL__LIMITS__MEMORY", "1GiB")]);
    let value: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["memory_bytes"], 1 << 30);

    let variables = [("TRAILHAUL__LIMITS__MEMORY", SECRET), ("TRAILHAUL__AWS__PROXY", SECRET)];
    let output = check("local.yaml", &["--log-level", "trace"], &variables);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output) + &stdout(&output);
    assert!(text.contains("environment variable TRAILHAUL__LIMITS__MEMORY: limits.memory: "), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn a_wrong_command_line_is_64() {
    for arguments in [
        &["fly"][..],
        &[],
        &["check"],
        &["check", "--offline", "--output", "xml"],
        &["completions", "tcsh-of-old"],
        &["schema", "--log-level", "loud"],
    ] {
        let output = trailhaul(arguments, &[]);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_good() {
    for arguments in [&["--help"][..], &["--version"], &["help", "check"], &["check", "--help"]] {
        let output = trailhaul(arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!stdout(&output).is_empty() && stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_schema_is_the_one_that_is_kept() {
    let output = trailhaul(&["schema"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), std::fs::read_to_string(config("schema.json")).unwrap());
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = trailhaul(&["completions", shell], &[]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("trailhaul"), "{shell}");
    }
}
