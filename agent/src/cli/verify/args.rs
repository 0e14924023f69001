//! The options of `trailhaul verify`.

use std::path::PathBuf;
use std::time::Duration;

use trailhaul_core::model::AccountId;

use crate::config::{Start, parse_duration};

/// Validate digests and log files for a time range, for all accounts and regions.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A bucket (s3://name), or a folder that holds a copy of one (file:///path); may be repeated. Without it:
    /// the trails of the configuration. A bucket that is named there is read with its role.
    #[arg(long, value_name = "URL")]
    pub(super) bucket: Vec<String>,
    /// The buckets are copies: digests are checked against the place that they record. Folders always are.
    #[arg(long, conflicts_with = "original")]
    pub(super) copy: bool,
    /// The name of the bucket that the one bucket or folder is a copy of. Digests that claim another are
    /// findings.
    #[arg(long = "as", value_name = "BUCKET")]
    pub(super) original: Option<String>,
    /// A saved answer of `aws cloudtrail list-public-keys`: REGION.json for one region, any other name for
    /// all; may be repeated. Without it: integrity.public_keys of the configuration; without that, CloudTrail is
    /// asked, if a bucket is read and not only folders.
    #[arg(long, value_name = "FILE")]
    pub(super) public_keys: Vec<PathBuf>,
    /// Where to start: a time, a date, -1d, or beginning. Without it: a day ago, or, for copies, the
    /// beginning.
    #[arg(long, alias = "start-time", value_name = "TIME", allow_hyphen_values = true)]
    pub(super) from: Option<Start>,
    /// Where to end: a time, a date, or -1h. Without it: now, or, for copies, the newest digest there is.
    #[arg(long, alias = "end-time", value_name = "TIME", allow_hyphen_values = true)]
    pub(super) until: Option<Start>,
    /// Only this account; may be repeated.
    #[arg(long, alias = "account-id", value_name = "ID")]
    pub(super) account: Vec<AccountId>,
    /// Only this region; may be repeated.
    #[arg(long, value_name = "REGION")]
    pub(super) region: Vec<String>,
    /// Only trails of this name; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) trail: Vec<String>,
    /// How late a digest may be before it counts as missing.
    #[arg(long, value_name = "DURATION", default_value = "3h", value_parser = parse_duration)]
    pub(super) grace: Duration,
    /// Show notes too: what explains something and accuses nobody.
    #[arg(long)]
    pub(super) notes: bool,
    /// The most MiB that a log file may inflate to.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    pub(super) max_log_mib: u64,
    /// Print and exit as `aws cloudtrail validate-logs` does, for one trail, account and region.
    #[arg(long, requires = "trail_arn", requires = "from")]
    pub(super) like_aws: bool,
    /// With --like-aws: the trail.
    #[arg(long, value_name = "ARN", requires = "like_aws")]
    pub(super) trail_arn: Option<String>,
    /// With --like-aws: the bucket's name, as that command takes it. Without it and --bucket, CloudTrail is asked
    /// where the trail writes.
    #[arg(long, value_name = "NAME", requires = "like_aws", conflicts_with = "bucket")]
    pub(super) s3_bucket: Option<String>,
    /// With --like-aws: what stands before AWSLogs in the bucket.
    #[arg(long, value_name = "PREFIX", requires = "like_aws")]
    pub(super) s3_prefix: Option<String>,
    /// With --like-aws: the organization of an organization trail. Without it, that of the folders below AWSLogs,
    /// where CloudTrail was asked for the trail.
    #[arg(long, value_name = "ID", requires = "like_aws")]
    pub(super) organization_id: Option<String>,
    /// With --like-aws: name valid files too.
    #[arg(long, requires = "like_aws")]
    pub(super) verbose: bool,
}
