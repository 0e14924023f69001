//! The files under `config/`: examples load, invalid ones give exactly their messages, the schema is current,
//! and the example names every key with its default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::key::{Key, Kind};
use super::section::Features;
use super::*;

const SECRET: &str = "correct-horse-battery-staple";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn env(name: &str) -> Option<String> {
    match name {
        "TRAILHAUL_EXTERNAL_ID" | "TEST_SECRET" => Some(SECRET.into()),
        _ => None,
    }
}

fn parse(text: &str, features: Features) -> Result<Config, Problems> {
    Config::parse(text, Path::new("/etc/trailhaul"), &env, &[], features)
        .map_err(|problems| Problems::new(Path::new("test.yaml"), problems))
}

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::parse(text, Path::new("/etc/trailhaul"), &env, &variables, Features::Every)
        .map_err(|problems| Problems::new(Path::new("test.yaml"), problems).to_string())
}

const SMALL: &str = "
trails:
  - {bucket: file:///srv/trail, owner: '111122223333'}
sinks:
  archive: {type: archive, bucket: file:///srv/archive}
";

#[test]
fn every_example_is_valid() {
    for name in ["trailhaul.example.yaml", "minimal.yaml", "organization.yaml", "local.yaml"] {
        let text = std::fs::read_to_string(folder().join(name)).unwrap();
        if let Err(problems) = parse(&text, Features::Every) {
            panic!("{name}:\n{problems}");
        }
        if let Err(problems) = parse(&text, Features::Built) {
            for problem in problems.list() {
                assert!(
                    problem.message.starts_with("not supported yet: "),
                    "{name}: {}",
                    problems.line(problem)
                );
            }
        }
    }
}

#[test]
fn the_local_example_needs_nothing_that_this_build_lacks() {
    let config = Config::load(&folder().join("local.yaml"), &|_| None).unwrap();
    let root = std::path::absolute(folder()).unwrap();
    let clean = super::value::absolute(&root, Path::new("/"));
    assert_eq!(config.trails.listed()[0].place.folder(), Some(clean.join("bucket").as_path()));
    assert_eq!(config.state.path, clean.join("state"));
    assert_eq!(config.start, Start::Beginning);
}

/// To write the expected messages anew after a change of words: `TRAILHAUL_BLESS=1 cargo test invalid`, then
/// read the difference.
#[test]
fn every_invalid_file_gives_exactly_its_messages() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder().join("invalid")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let problems = Config::parse(&text, Path::new("/etc/trailhaul"), &env, &[], Features::Built)
            .map_err(|problems| Problems::new(Path::new(name), problems))
            .expect_err(&format!("{name:?} is valid"));
        let found = format!("{problems}\n");
        assert!(!found.contains(SECRET), "{name:?} shows a secret:\n{found}");
        let expected = path.with_extension("expected");
        if std::env::var_os("TRAILHAUL_BLESS").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap();
        assert_eq!(found, expected, "{name:?}");
    }
    assert!(seen >= 15, "only {seen} files under config/invalid");
}

#[test]
fn the_kept_schema_is_current() {
    let path = folder().join("schema.json");
    if std::env::var_os("TRAILHAUL_BLESS").is_some() {
        std::fs::write(&path, schema::text()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == schema::text(), "config/schema.json is old; write it anew with `trailhaul schema`");
}

#[test]
fn the_example_names_every_key_and_its_default() {
    let text = std::fs::read_to_string(folder().join("trailhaul.example.yaml")).unwrap();
    let shown = keys_of_example(&text);
    let mut known = BTreeMap::new();
    collect(ROOT, "", &mut known);
    for (path, default) in &known {
        let Some(value) = shown.get(path) else { panic!("the example does not name {path}") };
        let overridden = ["organization.role.", "sinks.", "trails.carries"];
        if let (Some(default), false) = (default, overridden.iter().any(|prefix| path.starts_with(prefix))) {
            assert_eq!(value, default, "{path}: the example shows another default");
        }
    }
    for path in shown.keys() {
        assert!(known.contains_key(path), "the example names {path}, which is no key");
    }
}

/// Every key of the tables as a dotted path; sinks are told apart by type, lists leave no trace.
fn collect(keys: &[Key], path: &str, into: &mut BTreeMap<String, Option<&'static str>>) {
    for key in keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        collect_kind(&key.kind, &path, into);
        into.insert(path, key.default);
    }
}

fn collect_kind(kind: &Kind, path: &str, into: &mut BTreeMap<String, Option<&'static str>>) {
    match kind {
        Kind::List(inner) => collect_kind(inner, path, into),
        Kind::Group(keys) => collect(keys, path, into),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| collect_kind(kind, path, into)),
        Kind::Named(tagged) => {
            for (word, keys) in tagged.variants {
                collect(keys, &format!("{path}.{word}"), into);
            }
        }
        _ => {}
    }
}

/// The keys of the example, those switched off included, by indentation alone: alternatives that exclude each
/// other stand in one file, which no parser would take.
fn keys_of_example(text: &str) -> BTreeMap<String, String> {
    let mut stack: Vec<(usize, String)> = Vec::new();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((indent, key, value)) = key_of_line(line) else { continue };
        while stack.last().is_some_and(|(above, _)| *above >= indent) {
            stack.pop();
        }
        stack.push((indent, key));
        let names: Vec<&str> = stack.iter().map(|(_, key)| key.as_str()).collect();
        found.insert(names.join("."), value);
    }
    // The names of sinks are the user's; their types stand for them.
    let types: Vec<(String, String)> = found
        .iter()
        .filter_map(|(path, value)| Some((path.strip_suffix(".type")?.to_owned(), value.clone())))
        .collect();
    let mut renamed = BTreeMap::new();
    for (path, value) in found {
        let sink = types.iter().find(|(name, _)| path == *name || path.starts_with(&format!("{name}.")));
        match sink {
            Some((name, _)) if path == *name => {}
            Some((name, word)) => {
                renamed.insert(path.replacen(name, &format!("sinks.{word}"), 1), value);
            }
            None => {
                renamed.insert(path, value);
            }
        }
    }
    renamed
}

/// Indentation, key and value of a line; none for prose. A switched-off line has `#` right before its text.
fn key_of_line(line: &str) -> Option<(usize, String, String)> {
    let indent = line.len() - line.trim_start().len();
    let mut rest = line.trim_start();
    let mut indent = indent;
    if let Some(off) = rest.strip_prefix('#') {
        let inner = off.trim_start();
        indent += off.len() - inner.len();
        rest = inner;
        // Prose stands behind "# ", and within a switched-off group behind "#  # ".
        if off.starts_with(' ') && !off.starts_with("  ") {
            return None;
        }
    }
    if let Some(item) = rest.strip_prefix("- ") {
        rest = item;
        indent += 2;
    }
    let (key, value) = rest.split_once(':')?;
    let good = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if !good {
        return None;
    }
    Some((indent, key.to_owned(), value.trim().to_owned()))
}

#[test]
fn a_small_file_gets_every_default() {
    let config = parse(SMALL, Features::Built).unwrap();
    assert_eq!(config.limits.memory, 256 << 20);
    assert_eq!(config.limits.cpus, Cpus::Auto);
    assert_eq!(config.start, Start::Ago(std::time::Duration::from_secs(86_400)));
    assert_eq!(config.integrity.mode, IntegrityMode::Attest);
    assert_eq!(config.organization.accounts, Accounts::Carried);
    let (name, home) = config.home().unwrap();
    assert_eq!((name.as_str(), home.lanes), ("archive", 16));
    let trail = &config.trails.listed()[0];
    assert_eq!((trail.name.as_str(), trail.families.len()), ("trail", 4));
    assert!(trail.may_carry(None, "111122223333".parse().unwrap()));
    assert!(!trail.may_carry(None, "444455556666".parse().unwrap()));
}

#[test]
fn account_ids_keep_their_zeros_with_and_without_quotes() {
    let text = SMALL.replace("'111122223333'", "000123456789");
    let config = parse(&text, Features::Built).unwrap();
    assert_eq!(config.trails.listed()[0].owner.unwrap().to_string(), "000123456789");
}

#[test]
fn variables_override_the_file() {
    let config = parse_with(
        &format!("{SMALL}limits: {{cpus: 4}}\n"),
        &[
            ("TRAILHAUL__LIMITS__MEMORY", "1GiB"),
            ("TRAILHAUL__LIMITS__CPUS", "2"),
            ("TRAILHAUL__SINKS__ARCHIVE__LANES", "4"),
            ("TRAILHAUL__ORGANIZATION__ROLE__NAME", "Reader"),
            ("TRAILHAUL_CONFIG", "elsewhere"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.limits.memory, 1 << 30);
    assert_eq!(config.limits.cpus.resolve(8).get(), 2);
    assert_eq!(config.home().unwrap().1.lanes, 4);
    assert_eq!(config.organization.role.unwrap().target, RoleTarget::Name("Reader".into()));
}

#[test]
fn variables_are_as_strict_as_the_file() {
    let problems = parse_with(
        SMALL,
        &[
            ("TRAILHAUL__LIMITS__MEMROY", SECRET),
            ("TRAILHAUL__LIMITS__MEMORY", SECRET),
            ("TRAILHAUL__TRAILS", SECRET),
            ("TRAILHAUL__TRAILS__NAME", SECRET),
            ("TRAILHAUL__LIMITS__", SECRET),
        ],
    )
    .unwrap_err();
    assert!(!problems.contains(SECRET), "{problems}");
    let lines: Vec<&str> = problems.lines().collect();
    assert_eq!(
        lines,
        [
            "environment variable TRAILHAUL__LIMITS__: limits.: not a key; write the parts of its path joined by __",
            "environment variable TRAILHAUL__TRAILS: trails: one value cannot replace a list or a group",
            "environment variable TRAILHAUL__TRAILS__NAME: trails.name: leads into a list or a plain value; only keys of groups can be overridden",
            "environment variable TRAILHAUL__LIMITS__MEMROY: limits.memroy: unknown key; did you mean \"memory\"?",
            "environment variable TRAILHAUL__LIMITS__MEMORY: limits.memory: value from the environment (not shown): expected a size such as 512KiB, 64MiB or 2GiB",
        ]
    );
}

#[test]
fn references_are_resolved_inside_a_value_and_never_as_structure() {
    let tricky = |name: &str| (name == "X").then(|| "eu}\nlimits: {cpus: 1}".to_owned());
    let text = format!("{SMALL}organization: {{name: 'a ${{env:X}} b $${{c}}'}}\n");
    let config = Config::parse(&text, Path::new("/"), &tricky, &[], Features::Built).unwrap();
    assert_eq!(config.organization.name.as_deref(), Some("a eu}\nlimits: {cpus: 1} b ${c}"));
}

#[test]
fn secrets_show_in_no_form() {
    let text = format!(
        "{SMALL}organization: {{role: {{name: R, external_id: '${{env:TEST_SECRET}}'}}}}\naws: {{proxy: 'http://u:{SECRET}@p:1'}}\n"
    );
    let config = parse(&text, Features::Built).unwrap();
    assert!(!format!("{config:?}").contains(SECRET));
    assert!(!format!("{config:#?}").contains(SECRET));
    let role = config.organization.role.unwrap();
    assert_eq!(role.external_id.as_ref().map(Secret::expose), Some(SECRET));
    assert_eq!(role.external_id.unwrap().to_string(), "***");
}

#[test]
fn a_trail_takes_the_role_of_the_organization_unless_it_says_otherwise() {
    let text = "
organization: {role: {name: Reader}}
trails:
  - {name: a, bucket: s3://example-a, owner: '111122223333'}
  - {name: b, bucket: s3://example-b, owner: '111122223333', role: none}
  - {name: c, bucket: s3://example-c, owner: '111122223333', role: {arn: 'arn:aws-cn:iam::111122223333:role/x/Y'}}
sinks: {screen: {type: console}}
";
    let config = parse(text, Features::Every).unwrap();
    let targets: Vec<_> =
        config.trails.listed().iter().map(|trail| trail.role.as_ref().map(|role| &role.target)).collect();
    assert_eq!(
        targets,
        [
            Some(&RoleTarget::Name("Reader".into())),
            None,
            Some(&RoleTarget::Arn("arn:aws-cn:iam::111122223333:role/x/Y".into())),
        ]
    );
    assert!(config.home().is_none());
    let arn = RoleTarget::Name("p/R".into()).arn("aws", "111122223333".parse().unwrap());
    assert_eq!(arn, "arn:aws:iam::111122223333:role/p/R");
}

#[test]
fn files_that_are_none_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let message = || Config::load(&path, &|_| None).unwrap_err().to_string();
    assert!(message().contains("cannot be read"), "{}", message());
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(message().ends_with("x.yaml: is not UTF-8"), "{}", message());
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(message().ends_with("x.yaml: is larger than 1 MiB"), "{}", message());
}

proptest::proptest! {
    /// No text brings the parser down, and no text from the environment is ever shown.
    #[test]
    fn no_configuration_brings_it_down(
        text in "(trails|sinks|limits|start|a|type|bucket|- |: |\\[|\\]|\\{|\\}|, |\n|  |'|s3://|file:///|\\$\\{env:TEST_SECRET\\}|archive|7d|1){0,60}"
    ) {
        if let Err(problems) = parse(&text, Features::Every) {
            proptest::prop_assert!(!problems.to_string().contains(SECRET));
            proptest::prop_assert!(!problems.list().is_empty());
        }
    }
}
