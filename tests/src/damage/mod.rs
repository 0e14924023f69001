//! Objects that are damaged, hostile or out of place.
//!
//! In: kinds of damage and sizes. Out: one object (sometimes two) of each kind in the organization trail's
//! bucket, or where a kind says otherwise, with fresh records that lie nowhere else. The truth says for each
//! which whole records a correct haul takes, and which it may take or refuse. Sizes are options, because some
//! kinds are meant to be larger than memory; everything is streamed. Failure: the error of the file system.

mod bytes;
mod containers;
mod places;
mod records;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::org::{Account, Options, Organization, Trail};
use crate::records::{Family, Kind, Record, Scene, make};
use crate::rng::{ALNUM, Rng};
use crate::time::{HOUR, window_end};
use crate::tree::{Piece, Place, Tree};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)+) => {
        /// What is wrong with an object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Damage { $($(#[doc = $doc])+ $kind,)+ }

        impl Damage {
            /// Every kind.
            pub const ALL: &'static [Damage] = &[$(Damage::$kind,)+];

            /// Its name on the command line and in the truth.
            pub fn name(self) -> &'static str {
                match self { $(Damage::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    /// Bytes that are neither gzip nor JSON.
    NotGzip = "not-gzip",
    /// JSON that was never compressed, as tools leave it that inflate in passing. Every record is good.
    PlainJson = "plain-json",
    /// The gzip stream ends early.
    TruncatedGzip = "truncated-gzip",
    /// The checksum at the end of the gzip member is wrong.
    BadChecksum = "bad-checksum",
    /// Something follows the gzip member.
    TrailingBytes = "trailing-bytes",
    /// A second gzip member with planted records follows the first.
    SecondMember = "second-member",
    /// No bytes at all.
    EmptyObject = "empty-object",
    /// A list of no records; nothing is wrong.
    NoRecords = "no-records",
    /// A record that ends in its middle, so that nothing behind it can be trusted.
    BadJson = "bad-json",
    /// Things among good records that are none: a number, a text, an object without a value.
    BadRecord = "bad-record",
    /// White space between the records, and a line feed at the end; nothing is wrong.
    Spaced = "spaced",
    /// Other fields beside `Records`.
    ExtraKeys = "extra-keys",
    /// Good JSON objects with no id, two ids, ids and times of odd types.
    OddRecords = "odd-records",
    /// One record of many megabytes between good ones.
    HugeRecord = "huge-record",
    /// A record nested 100,000 levels deep.
    DeepRecord = "deep-record",
    /// `[{},{},…]`, by the million.
    EmptyRecords = "empty-records",
    /// Records of all years from 0 to 9999, by the million.
    RandomYears = "random-years",
    /// Spaces that compress a thousandfold.
    Bomb = "bomb",
    /// Folders of other services, and objects that are no logs.
    UnknownFamily = "unknown-family",
    /// Logs of accounts that the bucket may not carry.
    Planted = "planted",
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Damage {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(*kind),
            None => {
                let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
                bail!("{text:?} is no damage: there are {}", names.join(", "))
            }
        }
    }
}

/// How large the large ones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Inflated bytes of a bomb.
    pub bomb: u64,
    /// Bytes of a huge record.
    pub huge: usize,
    /// Records where there are very many.
    pub many: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { bomb: 1 << 30, huge: 8 << 20, many: 1_000_000 }
    }
}

/// Adds objects of these kinds to a tree.
pub fn add(
    tree: &mut Tree,
    organization: &Organization,
    options: &Options,
    kinds: &[Damage],
    sizes: Sizes,
) -> Result<()> {
    let rng = Rng::fork(options.seed, "damage");
    let stamp = window_end(options.start + HOUR / 2);
    let mut spoiler = Spoiler { tree, organization, rng, sizes, stamp, turn: 0 };
    for kind in kinds {
        spoiler.add(*kind)?;
    }
    Ok(())
}

/// Makes the objects.
struct Spoiler<'a> {
    tree: &'a mut Tree,
    organization: &'a Organization,
    rng: Rng,
    sizes: Sizes,
    stamp: i64,
    turn: usize,
}

impl Spoiler<'_> {
    fn add(&mut self, kind: Damage) -> Result<()> {
        self.turn += 1;
        match kind {
            Damage::NotGzip => self.not_gzip(),
            Damage::PlainJson => self.plain_json(),
            Damage::TruncatedGzip => self.truncated_gzip(),
            Damage::BadChecksum => self.bad_checksum(),
            Damage::TrailingBytes => self.trailing_bytes(),
            Damage::SecondMember => self.second_member(),
            Damage::EmptyObject => self.empty_object(),
            Damage::NoRecords => self.no_records(),
            Damage::BadJson => self.bad_json(),
            Damage::BadRecord => self.bad_record(),
            Damage::Spaced => self.spaced(),
            Damage::ExtraKeys => self.extra_keys(),
            Damage::OddRecords => self.odd_records(),
            Damage::HugeRecord => self.huge_record(),
            Damage::DeepRecord => self.deep_record(),
            Damage::EmptyRecords => self.empty_records(),
            Damage::RandomYears => self.random_years(),
            Damage::Bomb => self.bomb(),
            Damage::UnknownFamily => self.unknown_family(),
            Damage::Planted => self.planted(),
        }
    }

    /// The account whose turn it is, so that the damage is spread over the organization.
    fn account(&self) -> Account {
        let accounts = &self.organization.accounts;
        accounts.get(self.turn.checked_rem(accounts.len()).unwrap_or(0)).copied().unwrap_or(Account(0))
    }

    fn region(&self) -> &str {
        self.organization.regions.first().map_or("us-east-1", String::as_str)
    }

    /// A place for a log file of the organization's trail.
    fn place(&mut self, family: Family) -> Result<Place> {
        let account = self.account();
        match self.organization.trails.first() {
            Some(trail) => Ok(Place { trail: Some(0), ..self.place_in(trail, account, family) }),
            None => bail!("the organization has no trail"),
        }
    }

    fn place_in(&mut self, trail: &Trail, account: Account, family: Family) -> Place {
        let mut unique = String::new();
        self.rng.letters(ALNUM, 16, &mut unique);
        let region = self.region().to_owned();
        let key = trail.log_key(account, family, &region, self.stamp, &unique);
        let delivered = self.stamp + self.rng.range(0, 60);
        Place { trail: None, bucket: trail.bucket.clone(), key, account, family, region, delivered }
    }

    fn record(&mut self, kind: Kind, account: Account) -> Option<Record> {
        let region = self.region().to_owned();
        let time = self.stamp - self.rng.range(60, 300);
        let organization = &self.organization.id;
        let scene = Scene { account, other: account, organization, region: &region, time };
        make(kind, &scene, &mut self.rng).into_iter().next()
    }

    /// Records that lie nowhere else, noted.
    fn fresh(&mut self, count: usize) -> Result<Vec<Piece>> {
        self.fresh_of(self.account(), count)
    }

    fn fresh_of(&mut self, account: Account, count: usize) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for _ in 0..count {
            if let Some(record) = self.record(Kind::Call, account) {
                pieces.push(self.note(record)?);
            }
        }
        Ok(pieces)
    }

    fn note(&mut self, record: Record) -> Result<Piece> {
        Ok(Piece { number: self.tree.note(&record)?, text: record.text })
    }

    /// Notes a text of our own as a record of the account whose turn it is.
    fn odd(&mut self, id: Option<&str>, text: String) -> Result<Piece> {
        let (account, time) = (self.account(), self.stamp);
        let id = id.map(str::to_owned);
        self.note(Record { account, id, time, family: Family::CloudTrail, management: true, text })
    }
}

#[cfg(test)]
mod tests;
