//! The trail of `verify --like-aws`, where no bucket was given: CloudTrail knows where it writes.
//!
//! In: the trail's ARN; the agent's own credentials, and the roles of the configuration. Out: the first description
//! of the trail that one of them gets; its organization, from the folders of its bucket. Asked are the trail's home
//! region and one bucket. Failure: the words that `aws cloudtrail validate-logs` has for it, or the reasons of those
//! who were refused.

use tokio_util::sync::CancellationToken;
use trailhaul_core::model::AccountId;

use super::super::cloud::Cloud;
use super::super::{ExitCode, Output};
use super::Args;
use crate::audit::{Source, Sources, find_folders};
use crate::aws::TrailDescription;
use crate::runtime::RetryPolicy;

/// The account and home region that an ARN names.
pub(super) fn parse_arn(arn: &str) -> Result<(AccountId, &str), String> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts.as_slice() {
        ["arn", _, "cloudtrail", home, account, trail] if trail.starts_with("trail/") => {
            account.parse().ok().map(|account| (account, *home))
        }
        _ => None,
    }
    .ok_or_else(|| format!("Invalid trail ARN provided: {arn}"))
}

/// Asks for the trail; on failure everything has been said.
pub(super) async fn find(
    args: &Args,
    cloud: &mut Cloud,
    output: &mut Output,
) -> Result<TrailDescription, ExitCode> {
    let fatal = |output: &mut Output, why: &str| {
        output.error_text(&format!("\n{why}\n"));
        ExitCode::LikeAwsFailure
    };
    let arn = args.trail_arn.clone().unwrap_or_default();
    let (_, home) = parse_arn(&arn).map_err(|why| fatal(output, &why))?;
    cloud.set_region(args.region.first().map_or(home, String::as_str));
    let mut refusals = Vec::new();
    for caller in cloud.trail_callers(output).await? {
        let retry = RetryPolicy::requests();
        match retry.run(&CancellationToken::new(), || caller.trails(home)).await {
            Ok(trails) => match trails.into_iter().find(|trail| trail.arn == arn) {
                Some(trail) if trail.of_organization && args.account.is_empty() => {
                    let why = "Missing required parameter for organization trail: '--account-id'";
                    return Err(fatal(output, why));
                }
                Some(trail) => return Ok(trail),
                None => {}
            },
            Err(gave_up) => refusals.push(format!("{}: {}", caller.caller(), gave_up.error)),
        }
    }
    let mut why = format!("A trail could not be found for {arn}");
    if !refusals.is_empty() {
        why = format!("{why} ({}); --bucket names its bucket without asking", refusals.join("; "));
    }
    Err(fatal(output, &why))
}

/// The organization below which an organization's trail keeps the digests of an account; `None` where there are none.
pub(super) async fn organization_of(
    sources: &Sources,
    source: &Source,
    account: AccountId,
) -> Result<Option<String>, String> {
    let found = find_folders(sources, source, |of| of == account).await;
    if let Some((folder, why)) = found.unlisted.first() {
        return Err(format!("{folder} cannot be listed: {why}; --organization-id names the organization"));
    }
    let mut ids: Vec<String> =
        found.folders.iter().filter_map(|folder| Some(folder.organization.as_ref()?.to_string())).collect();
    ids.dedup();
    match ids.as_slice() {
        [] => Ok(None),
        [id] => Ok(Some(id.clone())),
        [..] => Err(format!(
            "the bucket holds account {account} of several organizations ({}); --organization-id names one",
            ids.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_an_account_and_a_home_region() {
        let arn = "arn:aws-us-gov:cloudtrail:us-gov-west-1:111122223333:trail/org";
        assert_eq!(parse_arn(arn), Ok(("111122223333".parse().unwrap(), "us-gov-west-1")));
        for wrong in
            ["", "arn:aws:cloudtrail:us-east-1:1111:trail/x", "arn:aws:s3:us-east-1:111122223333:trail/x"]
        {
            assert_eq!(parse_arn(wrong), Err(format!("Invalid trail ARN provided: {wrong}")));
        }
    }
}
