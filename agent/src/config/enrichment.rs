//! `enrichment`: what normalized events say of the accounts that they come from.
//!
//! In: a table of accounts. Out: one [`AccountInfo`] each, by id. Invariant: an account stands there once.
//! Bounded by the size of the file (1 MiB); `limits.memory` counts what the table holds. Discovery will fill the
//! same table. Raw output never shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use trailhaul_core::model::{AccountId, OrganizationId};
use trailhaul_core::normalize::AccountInfo;

use super::key::{Form, Key, Kind};
use super::section::{Context, Item, Section, form};

/// What is known of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enrichment {
    /// By account.
    pub accounts: Arc<BTreeMap<AccountId, Arc<AccountInfo>>>,
}

impl Enrichment {
    /// The same, where accounts that name no organization belong to this one.
    pub(super) fn in_organization(mut self, id: Option<&OrganizationId>) -> Self {
        let Some(id) = id else { return self };
        for info in Arc::make_mut(&mut self.accounts).values_mut() {
            Arc::make_mut(info).organization.get_or_insert_with(|| id.to_string());
        }
        self
    }

    /// The bytes that the table holds, about, for the budget.
    pub fn memory(&self) -> u64 {
        /// A node's share, the pointer and its counts.
        const ROW: usize = 64;
        let rows = self.accounts.values().map(|info| info.memory() + ROW);
        rows.map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX)).sum()
    }
}

const ACCOUNT: &[Key] = &[
    Key::required("id", Kind::Text(Form::Account), "The account's id."),
    Key::optional("name", Kind::Text(Form::Any), "Its name."),
    Key::optional(
        "organization",
        Kind::Text(Form::Organization),
        "The organization that it belongs to; organization.id without it.",
    ),
    Key::optional(
        "organizational_unit",
        Kind::Text(Form::Any),
        "The path of organizational units from the root, such as Root/Workloads/Prod.",
    ),
    Key::optional("tags", Kind::Texts, "Its tags, each KEY: VALUE; at most 50."),
];

pub(super) const KEYS: &[Key] = &[Key::optional(
    "accounts",
    Kind::List(&Kind::Group(ACCOUNT)),
    "A table of accounts: id, and what is known of each.",
)];

pub(super) fn build(s: &Section<'_>) -> Option<Enrichment> {
    let items = s.list("accounts")?;
    let read: Vec<_> = items.iter().map(|item| (item, account(item, s.cx))).collect();
    let mut accounts = BTreeMap::new();
    let mut complete = true;
    for (item, account) in read {
        let Some((id, info)) = account else {
            complete = false;
            continue;
        };
        if accounts.insert(id, Arc::new(info)).is_some() {
            s.cx.problem(&item.node.origin, &item.path, "names an account that stands above; keep one");
        }
    }
    complete.then(|| Enrichment { accounts: Arc::new(accounts) })
}

fn account(item: &Item<'_>, cx: &Context) -> Option<(AccountId, AccountInfo)> {
    let s = Section::open(item, ACCOUNT, cx)?;
    let id = s.read("id", form::<AccountId>(Form::Account));
    let name = s.optional("name", |text| short(text, 128));
    let organization = s.optional("organization", |text| {
        form::<OrganizationId>(Form::Organization)(text).map(|id| id.to_string())
    });
    let organizational_unit = s.optional("organizational_unit", |text| short(text, 1_024));
    let tags = s.texts("tags");
    if let Some(tags) = &tags {
        check_tags(&s, tags);
    }
    let info = AccountInfo {
        name: name?,
        organization: organization?,
        organizational_unit: organizational_unit?,
        tags: tags?,
    };
    Some((id?, info))
}

/// AWS Organizations, "Tag naming and usage": 50 tags of a resource, keys of 128 and values of 256 characters.
fn check_tags(s: &Section<'_>, tags: &[(String, String)]) {
    let long = |(key, value): &(String, String)| key.chars().count() > 128 || value.chars().count() > 256;
    if tags.len() > 50 || tags.iter().any(long) {
        s.problem("tags", "expected at most 50 tags, keys of 128 and values of 256 characters at most");
    }
}

fn short(text: &str, most: usize) -> Result<String, String> {
    if text.chars().count() > most {
        return Err(format!("expected at most {most} characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    const SMALL: &str = "
organization: {id: o-a1b2c3d4e5}
trails:
  - {bucket: file:///srv/trail, owner: '111122223333'}
sinks:
  archive: {type: archive, bucket: file:///srv/archive}
";

    fn load(accounts: &str) -> Result<Config, String> {
        let text = format!("{SMALL}enrichment:\n  accounts: {accounts}\n");
        Config::from_text(&text, Path::new("/")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_table_is_read() {
        let config = load(
            "[{id: '111122223333', name: audit, organizational_unit: Root/Security, tags: {team: sec, tier: 1}}]",
        )
        .unwrap();
        let table = &config.enrichment.accounts;
        let info = table.get(&"111122223333".parse().unwrap()).unwrap();
        assert_eq!(info.name.as_deref(), Some("audit"));
        assert_eq!(info.organization.as_deref(), Some("o-a1b2c3d4e5"), "organization.id stands in");
        assert_eq!(info.tags, [("team".into(), "sec".into()), ("tier".into(), "1".into())]);
        assert!(config.enrichment.memory() > 100);
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        for (accounts, words) in [
            ("[{name: audit}]", "id"),
            ("[{id: '1', name: audit}]", "account id"),
            ("[{id: '111122223333', nam: audit}]", "name"),
            ("[{id: '111122223333'}, {id: '111122223333'}]", "keep one"),
            ("[{id: '111122223333', tags: [a]}]", "expected a group"),
            ("[{id: '111122223333', tags: {a: [b]}}]", "expected one value"),
            (&format!("[{{id: '111122223333', name: {}}}]", "x".repeat(129)), "at most 128"),
            (&format!("[{{id: '111122223333', tags: {{a: {}}}}}]", "x".repeat(257)), "256"),
        ] {
            let error = load(accounts).unwrap_err();
            assert!(error.contains(words), "{accounts}: {error}");
        }
    }
}
