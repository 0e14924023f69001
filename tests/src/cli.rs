//! The subcommands of `simorg`.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use trailhaul_tests::bulk::{self, Shape};
use trailhaul_tests::compare::{self, Differences};
use trailhaul_tests::config_yaml::{ConfigOptions, config_yaml};
use trailhaul_tests::damage::{self, Damage, Sizes};
use trailhaul_tests::org::{Options, Organization};
use trailhaul_tests::tamper::{Act, Tamperer};
use trailhaul_tests::truth::{self, Tail};
use trailhaul_tests::{delivery, digests, model, time};

/// Writes a simulated organization to disk, and compares an archive with the truth about it.
#[derive(Debug, Parser)]
#[command(name = "simorg", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write buckets, truth.ndjson and trailhaul.yaml below a folder.
    Write(Write),
    /// Write a tree of one shape, for measurements.
    Bulk(Bulk),
    /// Compare an archive with a truth; exits with 1 when they differ.
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Write {
    /// Everything follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of accounts.
    #[arg(long, default_value_t = 4)]
    accounts: usize,
    /// Number of regions, up to 17.
    #[arg(long, default_value_t = 2)]
    regions: usize,
    /// Hours of events.
    #[arg(long, default_value_t = 4)]
    hours: u32,
    /// The time of the first event, such as 2026-02-28T21:00:00Z.
    #[arg(long)]
    start: Option<String>,
    /// Mean number of events per account, region and hour.
    #[arg(long, default_value_t = 60)]
    rate: u32,
    /// About this many bytes of inflated objects, instead of a rate.
    #[arg(long)]
    raw_bytes: Option<u64>,
    /// Deliver some events again after 6, 8 and 25 days.
    #[arg(long)]
    far_copies: bool,
    /// Gzip level of the objects.
    #[arg(long, default_value_t = 4)]
    level: u32,
    /// Kinds of damaged objects to add, separated by commas, or `all`.
    #[arg(long, value_delimiter = ',')]
    damage: Vec<String>,
    /// Inflated bytes of a bomb.
    #[arg(long, default_value_t = Sizes::default().bomb)]
    bomb_bytes: u64,
    /// Bytes of a huge record.
    #[arg(long, default_value_t = Sizes::default().huge)]
    huge_bytes: usize,
    /// Records of the damaged objects that hold very many.
    #[arg(long, default_value_t = Sizes::default().many)]
    many: u64,
    /// Write hourly signed digests, public-keys/ and integrity.json.
    #[arg(long)]
    digests: bool,
    /// The folder of signing keys, made where it lacks any; signing-keys below the tree without it.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// What to do to the tree afterwards, separated by commas, or `all`; needs digests.
    #[arg(long, value_delimiter = ',', requires = "digests")]
    tamper: Vec<String>,
    /// The folder to write to; it must not hold a tree already.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Bulk {
    /// What to write.
    #[command(subcommand)]
    shape: BulkShape,
    /// Everything follows from it.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    /// Gzip level of the objects.
    #[arg(long, default_value_t = 4, global = true)]
    level: u32,
    /// Hours over which many objects are spread.
    #[arg(long, default_value_t = 4, global = true)]
    hours: u32,
    /// Write hourly signed digests, public-keys/ and integrity.json.
    #[arg(long, global = true)]
    digests: bool,
    /// The folder to write to; it must not hold a tree already.
    #[arg(long, default_value = "simorg-bulk", global = true)]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum BulkShape {
    /// One object of at least so many inflated bytes.
    OneObject {
        /// Inflated bytes.
        #[arg(long)]
        raw_bytes: u64,
    },
    /// Many small objects.
    SmallObjects {
        /// How many.
        #[arg(long)]
        objects: u64,
        /// Records in each.
        #[arg(long, default_value_t = 5)]
        records: u64,
    },
    /// Many objects with records that compress as real ones do, about ten to one.
    AlikeObjects {
        /// How many.
        #[arg(long)]
        objects: u64,
        /// Records in each.
        #[arg(long, default_value_t = 1_600)]
        records: u64,
    },
    /// Many short records whose event times lie within ten minutes.
    OneSlot {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        ids: u64,
        /// Records in each object.
        #[arg(long, default_value_t = 20_000)]
        records: u64,
    },
}

#[derive(Debug, Args)]
struct Compare {
    /// The truth of the tree that was hauled.
    #[arg(long)]
    truth: PathBuf,
    /// The archive's folder, the one that holds data/.
    #[arg(long)]
    archive: PathBuf,
    /// The dedup window in seconds; objects count as committed when they were delivered. Without it, as all
    /// committed within the window.
    #[arg(long)]
    window: Option<i64>,
}

impl Cli {
    /// Runs; `false` when an archive differs from its truth.
    pub(crate) fn run(self) -> Result<bool> {
        match self.command {
            Command::Write(write) => write.run().map(|()| true),
            Command::Bulk(bulk) => bulk.run().map(|()| true),
            Command::Compare(compare) => compare.run(),
        }
    }
}

impl Write {
    fn run(self) -> Result<()> {
        let kinds = named(&self.damage, Damage::ALL)?;
        let acts = named(&self.tamper, Act::ALL)?;
        let sizes = Sizes { bomb: self.bomb_bytes, huge: self.huge_bytes, many: self.many };
        let root = fresh(&self.out)?;
        let start = self.start.as_deref().map(time::parse).transpose().context("--start")?;
        let options = Options {
            seed: self.seed,
            accounts: self.accounts,
            regions: self.regions,
            hours: self.hours,
            start: start.unwrap_or(Options::default().start),
            rate: self.rate,
            raw_bytes: self.raw_bytes,
            far_copies: self.far_copies,
            level: self.level,
        };
        let (organization, mut tree) = delivery::simulate(&root, &options)?;
        damage::add(&mut tree, &organization, &options, &kinds, sizes)?;
        let mut tail = tree.finish()?;
        if self.digests {
            tail = self.add_digests(&root, &acts)?;
        }
        write_config(&root, &organization, self.digests)?;
        report(&tail);
        Ok(())
    }

    fn add_digests(&self, root: &Path, acts: &[Act]) -> Result<Tail> {
        let mut truth = truth::read(&root.join("truth.ndjson"))?;
        let keys = self.keys.clone().unwrap_or_else(|| root.join(digests::KEYS));
        digests::add(root, &mut truth, &keys)?;
        if acts.is_empty() {
            return Ok(truth.tail);
        }
        let mut tamperer = Tamperer::open(root)?;
        for act in acts {
            tamperer.act(*act)?;
        }
        Ok(tamperer.finish()?.0.tail)
    }
}

/// The named ones, or all.
fn named<T: Copy + FromStr<Err = anyhow::Error>>(names: &[String], all: &[T]) -> Result<Vec<T>> {
    if names.iter().any(|name| name == "all") {
        return Ok(all.to_vec());
    }
    names.iter().map(|name| name.parse()).collect()
}

impl Bulk {
    fn run(self) -> Result<()> {
        let root = fresh(&self.out)?;
        let options = Options { seed: self.seed, level: self.level, hours: self.hours, ..Options::default() };
        let shape = match self.shape {
            BulkShape::OneObject { raw_bytes } => Shape::OneObject { raw_bytes },
            BulkShape::SmallObjects { objects, records } => Shape::SmallObjects { objects, records },
            BulkShape::AlikeObjects { objects, records } => Shape::AlikeObjects { objects, records },
            BulkShape::OneSlot { ids, records } => Shape::OneSlot { ids, records },
        };
        let (organization, tree) = bulk::write(&root, &options, shape)?;
        let mut tail = tree.finish()?;
        if self.digests {
            let mut truth = truth::read(&root.join("truth.ndjson"))?;
            digests::add(&root, &mut truth, &root.join(digests::KEYS))?;
            tail = truth.tail;
        }
        write_config(&root, &organization, self.digests)?;
        report(&tail);
        Ok(())
    }
}

/// The folder, made and absolute; an error when a tree is already there.
fn fresh(out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let root = out.canonicalize()?;
    if root.join("truth.ndjson").exists() {
        anyhow::bail!("{} already holds a tree: name another folder", root.display());
    }
    Ok(root)
}

fn write_config(root: &Path, organization: &Organization, digests: bool) -> Result<()> {
    let keys = digests::public_key_files(root, &organization.regions);
    let (integrity, public_keys) = if digests { ("attest", keys.as_slice()) } else { ("off", [].as_slice()) };
    let options = ConfigOptions { root, integrity, memory: None, public_keys };
    Ok(fs::write(root.join("trailhaul.yaml"), config_yaml(organization, &options))?)
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn report(tail: &Tail) {
    println!(
        "{} objects, {} records of {} contents, {} bytes inflated, {} stored, {} conflicts, {} overtaken",
        tail.objects,
        tail.records,
        tail.contents,
        tail.raw_bytes,
        tail.stored_bytes,
        tail.conflicts,
        tail.overtaken
    );
}

impl Compare {
    fn run(self) -> Result<bool> {
        let truth = truth::read(&self.truth)?;
        let expected = match self.window {
            Some(window) => model::expected(&truth, |object| Some(object.delivered), window),
            None => model::expected_at_once(&truth, model::WINDOW),
        };
        let differences = compare::compare(&truth, &expected, &self.archive)?;
        say(&differences, expected.count());
        Ok(differences.is_empty())
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn say(differences: &Differences, wanted: u64) {
    for example in &differences.examples {
        println!("{example}");
    }
    let Differences { missing, extra, repeated, lines, .. } = differences;
    println!("{lines} lines, {wanted} expected: {missing} missing, {extra} extra, {repeated} repeated");
}
