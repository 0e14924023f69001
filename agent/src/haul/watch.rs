//! What stands in the way of a trail's tail, told once: folders of strangers as findings, and what could not be
//! listed.
//!
//! In: a tail's health. Out: findings in the ledger, log lines, lines for the summary. Bounded by what the tail
//! reports.

use std::collections::BTreeSet;

use super::engine::Means;
use crate::ledger::NewFinding;
use crate::tail::{ForeignFolder, Health};
use crate::telemetry::{FindingKind, Series};

/// A trail being watched.
#[derive(Debug)]
pub(super) struct Watch {
    trail: String,
    health: Health,
    told: BTreeSet<String>,
    unlisted: Series,
}

impl Watch {
    /// Watches a trail's tail.
    pub(super) fn new(trail: String, health: Health, unlisted: Series) -> Self {
        Self { trail, health, told: BTreeSet::new(), unlisted }
    }

    /// Notes folders of strangers as findings; each is told once by this process. Shows how much cannot be listed.
    pub(super) fn report(&mut self, means: &Means) {
        let walk = self.health.walk();
        self.unlisted.set(walk.failed_total + self.health.troubled() as u64);
        for foreign in &walk.foreign {
            let (whose, account, prefix) = match foreign {
                ForeignFolder::Account { account, prefix } => {
                    (format!("account {account}"), Some(*account), prefix)
                }
                ForeignFolder::Organization { organization, prefix } => {
                    (format!("organization {organization}"), None, prefix)
                }
            };
            if !self.told.insert(prefix.clone()) {
                continue;
            }
            let trail = self.trail.as_str();
            let text = format!(
                "trail {trail} may not carry {whose}: nothing below {prefix} is hauled; if it should be, name the account \
                 in the configuration (organization.accounts, or the trail's `carries`)"
            );
            let subject = format!("{trail}/{prefix}");
            let mut finding = NewFinding::new(FindingKind::ForeignAccount.name(), &subject, &text);
            if let Some(account) = account {
                finding = finding.account(account);
            }
            let noted = means.ledger.find(&finding, means.clock.now());
            if let Err(error) = noted {
                tracing::error!(%error, "cannot note a finding");
            }
        }
        for (folder, count) in &walk.unknown {
            tracing::debug!(trail = self.trail, folder, count, "leave folders that are not CloudTrail's");
        }
    }

    /// What could not be listed, for people.
    pub(super) fn unlisted(&self) -> Vec<String> {
        let trail = &self.trail;
        let walk = self.health.walk();
        let folders = walk
            .failed
            .iter()
            .map(|(prefix, _, message)| format!("trail {trail}: cannot list {prefix}: {message}"));
        let troubles = self.health.troubles();
        let streams = troubles.iter().map(|(stream, trouble)| {
            format!("trail {trail}: cannot list {}/{}: {}", stream.bucket, stream.prefix, trouble.message)
        });
        folders.chain(streams).collect()
    }
}
