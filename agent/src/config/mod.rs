//! Configuration: YAML text to types that cannot be wrong.
//!
//! ```text
//!  file ──► yaml ──► env ──► section + key tables ──► rules ──► Config
//!  ≤ 1 MiB  tree     ${env:}  one file per area:       what only
//!           with     and      table, type, builder     the whole
//!           lines    TRAILHAUL__                       can tell
//! ```
//!
//! In: the file's text and the environment. Out: [`Config`], or every problem at once, each with line, column,
//! key and a hint. Invariants: a [`Config`] is consistent in itself and asks for nothing that this build
//! cannot do; no message shows what came from the environment. It does not look at the world: whether a bucket
//! exists or a role may be taken is for `trailhaul check`.
//!
//! The key tables drive the parser, the JSON schema and the test of the example file.

mod agent;
mod aws;
mod choice;
mod enrichment;
mod env;
mod key;
mod limits;
mod memory;
mod organization;
mod problem;
mod rules;
pub mod schema;
mod section;
mod sinks;
mod support;
mod trails;
mod value;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use agent::{Admin, Dedup, Integrity, IntegrityMode, State, Tail};
pub use aws::Aws;
pub use choice::Choice;
pub use enrichment::Enrichment;
pub use limits::{Batch, Cpus, Limits};
pub use memory::memory_needed;
pub use organization::{AccountMatch, Accounts, Organization, Role, RoleTarget};
pub use problem::{Origin, Problem, Problems};
pub use sinks::{
    Archive, Compression, Console, Encoding, File, Format, Kinesis, LifecycleAction, LifecycleRule,
    PartitionBy, PartitionKey, Sink, SinkName, StorageClass, Target,
};
pub use trails::{Carries, Trail, Trails};
pub use value::{Place, Secret, Start, parse_duration, show_duration, show_size};

use key::{Form, Key, Kind};
use section::{Context, Features, Item, Section};
use yaml::{MAX_FILE, Node};

/// A whole configuration, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whose logs are hauled, and the role for getting at them.
    pub organization: Organization,
    /// The buckets that CloudTrail writes to.
    pub trails: Trails,
    /// Where a new stream begins.
    pub start: Start,
    /// How digests are used.
    pub integrity: Integrity,
    /// How duplicates are found.
    pub dedup: Dedup,
    /// Where events go, in the order of the file; at least one, names unique.
    pub sinks: Vec<Sink>,
    /// What is known of accounts.
    pub enrichment: Enrichment,
    /// How to reach AWS.
    pub aws: Aws,
    /// How much of the machine may be used, and what is accepted of an input.
    pub limits: Limits,
    /// When a batch is closed.
    pub batch: Batch,
    /// How buckets are listed.
    pub tail: Tail,
    /// The state folder.
    pub state: State,
    /// The admin endpoint.
    pub admin: Admin,
}

/// The top level of the file.
const ROOT: &[Key] = &[
    Key::optional(
        "organization",
        Kind::Group(organization::KEYS),
        "Whose logs are hauled, and the role to take.",
    ),
    Key::required(
        "trails",
        Kind::Either(&[Kind::List(&Kind::Group(trails::TRAIL)), Kind::Group(trails::DISCOVERY)]),
        "The buckets that CloudTrail writes to: a list, or discover.",
    ),
    Key::with_default("start", Kind::Text(Form::Start), "-1d", "Where a new stream begins, by publish day."),
    Key::optional("integrity", Kind::Group(agent::INTEGRITY), "How digests are used."),
    Key::optional("dedup", Kind::Group(agent::DEDUP), "How duplicates are found."),
    Key::required("sinks", Kind::Named(&sinks::SINKS), "Where events go: sinks by names of your choice."),
    Key::optional("enrichment", Kind::Group(enrichment::KEYS), "What normalized events say of the accounts."),
    Key::optional("aws", Kind::Group(aws::KEYS), "How to reach AWS."),
    Key::optional("limits", Kind::Group(limits::LIMITS), "How much of the machine may be used."),
    Key::optional("batch", Kind::Group(limits::BATCH), "When a batch is closed: at whichever comes first."),
    Key::optional("tail", Kind::Group(agent::TAIL), "How buckets are listed."),
    Key::optional("state", Kind::Group(agent::STATE), "The state folder."),
    Key::optional("admin", Kind::Group(agent::ADMIN), "The admin endpoint."),
];

impl Config {
    /// Reads a configuration file; `env` answers its `${env:NAME}`. Every problem is reported at once.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        Self::load_with(path, env, &[])
    }

    /// Like [`Config::load`], with environment variables (name, value) laid over the file: those named
    /// `TRAILHAUL__LIMITS__MEMORY` and the like; others are passed over.
    pub fn load_with(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        variables: &[(String, String)],
    ) -> Result<Self, Problems> {
        let whole = |message: String| {
            let problem = Problem { origin: Origin::Whole, key: String::new(), message };
            Problems::new(path, vec![problem])
        };
        let text = read(path).map_err(whole)?;
        let absolute = std::path::absolute(path).map_err(|error| whole(format!("has no folder: {error}")))?;
        let base = absolute.parent().unwrap_or(Path::new("/"));
        Self::parse(&text, base, env, variables, Features::Built)
            .map_err(|problems| Problems::new(path, problems))
    }

    /// Reads a configuration from its text, for tests and tools that have no file; relative paths start at
    /// `base`, which must be absolute.
    pub fn from_text(text: &str, base: &Path) -> Result<Self, Problems> {
        let name = Path::new("configuration");
        Self::parse(text, base, &|_| None, &[], Features::Built).map_err(|found| Problems::new(name, found))
    }

    /// Parses a configuration that may ask for everything, also for what this build lacks.
    #[cfg(test)]
    pub(crate) fn parse_every(text: &str) -> Self {
        Self::parse(text, Path::new("/"), &|_| None, &[], Features::Every).unwrap()
    }

    /// Parses a configuration's text; relative paths start at `base`.
    fn parse(
        text: &str,
        base: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        variables: &[(String, String)],
        features: Features,
    ) -> Result<Self, Vec<Problem>> {
        let (tree, mut problems) = yaml::parse(text);
        let Some(mut tree) = tree else {
            if problems.is_empty() {
                let message = String::from("is empty; it needs trails and sinks");
                problems.push(Problem { origin: Origin::Whole, key: String::new(), message });
            }
            return Err(problems);
        };
        env::resolve(&mut tree, "", env, &mut problems);
        env::override_with(&mut tree, variables, &mut problems);

        let cx = Context::new(base.to_owned(), features);
        let draft = build(&tree, &cx);
        let complete = problems.is_empty() && cx.is_clean();
        problems.extend(cx.into_problems());
        if let Some(draft) = &draft {
            problems.extend(rules::check(draft, &tree, complete));
        }
        match draft {
            Some(draft) if problems.is_empty() => Ok(draft.config),
            _ => Err(problems),
        }
    }

    /// The archive that holds the journal; `None` where the configuration has no archive.
    pub fn home(&self) -> Option<(&SinkName, &Archive)> {
        self.sinks.iter().find_map(|sink| match &sink.target {
            Target::Archive(archive) if archive.home => Some((&sink.name, archive)),
            _ => None,
        })
    }
}

/// What could be read. Where an area could not, its problems are noted and its defaults stand in (for trails and
/// sinks: those that could be read), so that the rules still see the rest. A draft with problems is never handed
/// out.
#[derive(Debug)]
struct Draft {
    config: Config,
    /// The places in the file's list of the trails that could be read.
    rows: Vec<usize>,
}

fn build(tree: &Node, cx: &Context) -> Option<Draft> {
    let root = Section::open(&Item { node: tree, path: String::new() }, ROOT, cx)?;
    let organization = root.group("organization", organization::KEYS).and_then(|s| organization::build(&s));
    let (trails, rows) = trails::build(&root, organization.as_ref());
    let start = root.read("start", value::start).unwrap_or(Start::Beginning);
    let no_organization = || organization::build(&Section::absent("organization", organization::KEYS, cx));
    let organization = organization.or_else(no_organization)?;
    let enrichment = area(&root, "enrichment", enrichment::KEYS, enrichment::build)?
        .in_organization(organization.id.as_ref());
    let config = Config {
        organization,
        trails,
        start,
        integrity: area(&root, "integrity", agent::INTEGRITY, agent::integrity)?,
        dedup: area(&root, "dedup", agent::DEDUP, agent::dedup)?,
        sinks: sinks::build(&root),
        enrichment,
        aws: area(&root, "aws", aws::KEYS, aws::build)?,
        limits: area(&root, "limits", limits::LIMITS, limits::build)?,
        batch: area(&root, "batch", limits::BATCH, limits::build_batch)?,
        tail: area(&root, "tail", agent::TAIL, agent::tail)?,
        state: area(&root, "state", agent::STATE, agent::state)?,
        admin: area(&root, "admin", agent::ADMIN, agent::admin)?,
    };
    Some(Draft { config, rows })
}

fn area<T>(
    root: &Section<'_>,
    name: &str,
    keys: &'static [Key],
    build: fn(&Section<'_>) -> Option<T>,
) -> Option<T> {
    let read = root.group(name, keys).and_then(|s| build(&s));
    read.or_else(|| build(&Section::absent(name, keys, root.cx)))
}

/// Reads the file, at most [`MAX_FILE`] bytes.
fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err("is larger than 1 MiB".into());
    }
    let text = String::from_utf8(bytes).map_err(|_| String::from("is not UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
