//! `aws`: how to reach AWS.

use std::path::PathBuf;

use super::key::{Form, Key, Kind};
use super::section::Section;
use super::value::Secret;

/// How to reach AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aws {
    /// The region where none is given; the environment's without it.
    pub region: Option<String>,
    /// Another endpoint for every service: an emulator or a private gateway.
    pub endpoint_url: Option<String>,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// The HTTP proxy; a secret, because it may hold a password.
    pub proxy: Option<Secret>,
    /// Certificates to trust instead of the system's, PEM.
    pub ca_bundle: Option<PathBuf>,
    /// Whether to use FIPS endpoints.
    pub fips: bool,
    /// Whether to use dual-stack (IPv6) endpoints.
    pub dual_stack: bool,
}

pub(super) const KEYS: &[Key] = &[
    Key::optional("region", Kind::Text(Form::Region), "The region where none is given."),
    Key::optional(
        "endpoint_url",
        Kind::Text(Form::Url),
        "Another endpoint: an emulator or a private gateway.",
    ),
    Key::with_default("path_style", Kind::Flag, "false", "Put the bucket into the path, not the host name."),
    Key::optional(
        "proxy",
        Kind::Text(Form::Secret),
        "The HTTP proxy, http://[user:password@]host:port; never shown.",
    ),
    Key::optional("ca_bundle", Kind::Text(Form::Path), "Certificates to trust instead of the system's, PEM."),
    Key::with_default("fips", Kind::Flag, "false", "Use FIPS endpoints."),
    Key::with_default("dual_stack", Kind::Flag, "false", "Use dual-stack (IPv6) endpoints."),
];

pub(super) fn build(s: &Section<'_>) -> Option<Aws> {
    let region_name = s.optional("region", region);
    let endpoint_url = s.optional("endpoint_url", url);
    let path_style = s.flag("path_style");
    let proxy = s.optional("proxy", |text| url(text).map(Secret::new));
    let ca_bundle = s.path_at("ca_bundle");
    let fips = s.flag("fips");
    let dual_stack = s.flag("dual_stack");
    let aws = Aws {
        region: region_name?,
        endpoint_url: endpoint_url?,
        path_style: path_style?,
        proxy: proxy?,
        ca_bundle: ca_bundle?,
        fips: fips?,
        dual_stack: dual_stack?,
    };
    if aws.endpoint_url.is_some() && (aws.fips || aws.dual_stack) {
        s.problem("endpoint_url", "names one endpoint; fips and dual_stack choose others, remove them or it");
    }
    Some(aws)
}

/// Region names are open, but always short lower-case words joined by dashes.
pub(super) fn region(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.len() <= 40 && text.contains('-') && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("expected {}", Form::Region.describe()))
}

fn url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or("");
    let good = !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace);
    if good { Ok(text.to_owned()) } else { Err(format!("expected {}", Form::Url.describe())) }
}
