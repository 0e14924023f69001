//! A trailhaul configuration for a tree.
//!
//! In: an organization and where its tree lies. Out: YAML as text, for `trailhaul --config`. Only keys that
//! the tree needs; everything else is left to its default.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::org::{Carries, Organization, Trail};

/// What the configuration says beyond the organization.
#[derive(Debug, Clone)]
pub struct ConfigOptions<'a> {
    /// The root of the tree; the state folder and the archive go beside its buckets.
    pub root: &'a Path,
    /// `integrity.mode`: `attest`, `hold` or `off`.
    pub integrity: &'a str,
    /// The memory limit, such as `256MiB`; `None` leaves the default.
    pub memory: Option<&'a str>,
    /// Saved answers of `ListPublicKeys`, one file per region, when digests were written.
    pub public_keys: &'a [PathBuf],
}

/// The configuration that hauls the whole tree into `ROOT/archive`. With integrity it names the trails that write to a
/// place where all of them make digests.
pub fn config_yaml(organization: &Organization, options: &ConfigOptions<'_>) -> String {
    let mut out = String::new();
    let root = options.root.display();
    // Writing to a String cannot fail.
    let _ = write!(out, "organization:\n  id: {}\n  accounts:\n", organization.id);
    for account in &organization.accounts {
        let _ = writeln!(out, "    - \"{account}\"");
    }
    out.push_str("trails:\n");
    let mut places = BTreeSet::new();
    for (index, trail) in organization.trails.iter().enumerate() {
        // Two trails may write to one place; to a hauler it is one.
        if !places.insert((&trail.bucket, &trail.prefix)) {
            continue;
        }
        let carries = match trail.carries {
            Carries::Owner => "owner",
            Carries::Organization => "organization",
        };
        let _ = writeln!(out, "  - name: {}", name(&trail.name, index));
        let _ = writeln!(out, "    bucket: file://{root}/buckets/{}", trail.bucket);
        if !trail.prefix.is_empty() {
            let _ = writeln!(out, "    prefix: {}", trail.prefix);
        }
        let _ = writeln!(out, "    owner: \"{}\"\n    carries: {carries}", trail.owner);
        let here = |other: &&Trail| (&other.bucket, &other.prefix) == (&trail.bucket, &trail.prefix);
        let writers: Vec<&Trail> = organization.trails.iter().filter(here).collect();
        if options.integrity != "off" && writers.iter().all(|trail| trail.validation) {
            let names: Vec<&str> = writers.iter().map(|trail| trail.name.as_str()).collect();
            let _ = writeln!(out, "    writers: [{}]", names.join(", "));
        }
    }
    let _ = write!(out, "start: beginning\nintegrity:\n  mode: {}\n", options.integrity);
    if !options.public_keys.is_empty() {
        out.push_str("  public_keys:\n");
    }
    for file in options.public_keys {
        let _ = writeln!(out, "    - {}", file.display());
    }
    let _ = write!(
        out,
        "sinks:\n  archive:\n    type: archive\n    bucket: file://{root}/archive\n    format: raw\n"
    );
    if let Some(memory) = options.memory {
        let _ = write!(out, "limits:\n  memory: {memory}\n");
    }
    let _ = write!(out, "state:\n  path: {root}/state\nadmin:\n  listen: off\n");
    out
}

/// A name as the configuration wants it: of a-z, 0-9 and -, at most 40 characters, unique by its number.
fn name(trail: &str, index: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let short: String = trail.chars().take(30).map(plain).collect();
    format!("{short}-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::Options;

    #[test]
    fn every_trail_and_account_is_named() {
        let organization = Organization::new(&Options { accounts: 7, ..Options::default() }).unwrap();
        let options =
            ConfigOptions { root: Path::new("/t"), integrity: "off", memory: None, public_keys: &[] };
        let yaml = config_yaml(&organization, &options);
        for trail in &organization.trails {
            assert!(yaml.contains(&format!("bucket: file:///t/buckets/{}\n", trail.bucket)), "{yaml}");
        }
        for account in &organization.accounts {
            assert!(yaml.contains(&format!("- \"{account}\"\n")), "{yaml}");
        }
        assert_eq!(yaml.matches("carries: organization").count(), 2);
    }
}
