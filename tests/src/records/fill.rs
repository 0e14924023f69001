//! Filling templates: words between `$` signs become values.
//!
//! In: a template and a scene. Out: text appended to a string. An unknown word is written as it stands, so
//! that the tests of the records find it.

use super::calls::{self, Call};
use super::{Scene, frames};
use crate::org::Account;
use crate::rng::{ALNUM, HEX, Rng, UPPER};
use crate::time;

/// The values of one record.
pub(super) struct Filler<'a> {
    account: Account,
    other: Account,
    organization: &'a str,
    region: &'a str,
    time: i64,
    call: &'static Call,
    rng: &'a mut Rng,
    user: &'static str,
    host: u64,
    /// The record's own id.
    pub(super) id: String,
    /// What links two records of one action.
    pub(super) shared: String,
    /// How many bytes `$padding$` has.
    pub(super) padding: usize,
}

impl<'a> Filler<'a> {
    pub(super) fn new(scene: &Scene<'a>, call: &'static Call, rng: &'a mut Rng) -> Self {
        let (id, shared) = (rng.guid(), rng.guid());
        let user = *rng.pick(&calls::USERS);
        let host = rng.below(40);
        let Scene { account, other, organization, region, time } = *scene;
        let padding = 20_000 + rng.below(80_000) as usize;
        Self { account, other, organization, region, time, call, rng, user, host, id, shared, padding }
    }

    /// Appends the template with its words replaced.
    pub(super) fn fill(&mut self, template: &str, out: &mut String) {
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('$') {
            out.push_str(text);
            let Some((word, after)) = after.split_once('$') else {
                out.push('$');
                rest = after;
                continue;
            };
            self.word(word, out);
            rest = after;
        }
        out.push_str(rest);
    }

    fn word(&mut self, word: &str, out: &mut String) {
        match word {
            "account" => out.push_str(&self.account.to_string()),
            "other" => out.push_str(&self.other.to_string()),
            "organization" => out.push_str(self.organization),
            "region" => out.push_str(self.region),
            "time" => time::push_iso(self.time, out),
            "window-start" => out.push_str(&time::iso(time::window_end(self.time) - time::WINDOW)),
            "window-end" => out.push_str(&time::spaced(time::window_end(self.time))),
            "session-time" => time::push_iso(self.time - 900 - self.time.rem_euclid(1_800), out),
            "id" => out.push_str(&self.id),
            "shared" => out.push_str(&self.shared),
            "source" => out.push_str(self.call.source),
            "name" => out.push_str(self.call.name),
            "read-only" => out.push_str(if self.call.read_only { "true" } else { "false" }),
            "request" => self.fill(self.call.request, out),
            "response" => self.fill(self.call.response, out),
            "identity" => {
                let identity = *self.rng.pick(&frames::IDENTITIES);
                self.fill(identity, out);
            }
            "tls" => {
                let tls = *self.rng.pick(&frames::TLS);
                self.fill(tls, out);
            }
            "user" => out.push_str(self.user),
            "version" => out.push_str(self.rng.pick::<&str>(&calls::VERSIONS)),
            "agent" => out.push_str(self.rng.pick::<&str>(&calls::AGENTS)),
            "service" => out.push_str(self.rng.pick::<&str>(&calls::SERVICES)),
            "error" => out.push_str(self.rng.pick::<&str>(&calls::ERRORS)),
            "ip" => self.address(out),
            "guid" => out.push_str(&self.rng.guid()),
            _ => self.letters(word, out),
        }
    }

    fn letters(&mut self, word: &str, out: &mut String) {
        match word {
            "hex17" => self.rng.letters(HEX, 17, out),
            "upper16" => self.rng.letters(UPPER, 16, out),
            "alnum52" => self.rng.letters(ALNUM, 52, out),
            "alnum8" => self.rng.letters(ALNUM, 8, out),
            "small" => out.push_str(&self.rng.below(100).to_string()),
            "number" => out.push_str(&self.rng.below(5_000_000).to_string()),
            "host" => out.push_str(&format!("{:02x}{:04x}", self.host, self.host * 977 + 4_096)),
            "padding" => self.pad(out),
            unknown => {
                out.push('$');
                out.push_str(unknown);
                out.push('$');
            }
        }
    }

    /// Documentation addresses (RFC 5737, RFC 3849), sometimes the name of a service.
    fn address(&mut self, out: &mut String) {
        match self.rng.below(20) {
            0 => out.push_str("2001:db8:85a3::8a2e:370:7334"),
            1 => out.push_str("AWS Internal"),
            2 => out.push_str("cloudformation.amazonaws.com"),
            n => out.push_str(&format!(
                "{}.{}",
                if n < 10 { "203.0.113" } else { "198.51.100" },
                1 + self.host
            )),
        }
    }

    /// Policy-like text with quotes escaped, as a policy document in a request has it.
    fn pad(&mut self, out: &mut String) {
        let end = out.len().saturating_add(self.padding);
        while out.len() < end {
            out.push_str("{\\\"Effect\\\":\\\"Allow\\\",\\\"Action\\\":[\\\"s3:GetObject\\\"],\\\"Resource\\\":\\\"arn:aws:s3:::");
            self.rng.letters(HEX, 24, out);
            out.push_str("/*\\\"},");
        }
    }
}
