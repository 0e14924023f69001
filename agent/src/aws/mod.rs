//! AWS: who calls, through which client, and what an error means.
//!
//! In: `config::Aws` and the roles of accounts, buckets and streams. Out: identities whose credentials
//! renew themselves, one SDK configuration per identity and region, and error classes. Invariants:
//!
//! * One HTTP client (one connection pool, one TLS configuration) serves all accounts.
//! * The SDK never retries: a failed call comes back at once, and `runtime::retry` is the one place that
//!   repeats it.
//! * Credentials belong to an identity. One that cannot get any fails alone, at growing intervals, and no
//!   other waits for it.
//! * Nothing secret (keys, tokens, external ids, proxy passwords) has a `Debug` or `Display` that shows it.
//!
//! Not here: what the calls are for. S3 lives in `store::s3`, Kinesis in `sinks::kinesis`. CloudTrail's own API
//! has no seam of its own beside it, so its calls are here.

mod clients;
mod cloudtrail;
mod credentials;
mod error;
mod http;
mod identity;
mod owner;
mod role;
mod sts;
mod time;

pub use clients::{Aws, StaticKeys};
pub use cloudtrail::{CloudTrail, TrailDescription, TrailStatus};
pub use error::{ErrorClass, Failure, SetupError, classify};
pub use identity::{Caller, Identity};
pub use owner::BucketOwner;
pub use role::{Role, RoleArn, RoleError};
pub use time::AwsTime;
