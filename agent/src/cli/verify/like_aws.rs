//! `verify --like-aws`.

use jiff::Timestamp;

use super::super::{ExitCode, Output};
use super::Args;
use super::sources::Prepared;
use super::trail::{organization_of, parse_arn};
use crate::audit::like_aws::{LikeAws, Stream, validate};
use crate::config::Start;
use crate::runtime::{Clock as _, SystemClock};

pub(super) async fn run(args: &Args, prepared: Prepared, output: &mut Output) -> ExitCode {
    let ask = match request(args, &prepared, SystemClock.now()).await {
        Ok(ask) => ask,
        Err(why) => {
            output.error_text(&format!("\n{why}\n"));
            return ExitCode::LikeAwsFailure;
        }
    };
    let mut print = |stream: Stream, text: &str| match stream {
        Stream::Out => output.text(text),
        Stream::Err => output.error_text(text),
    };
    // Backfill digests are signed days later than their names say.
    let now = SystemClock.now().as_second();
    let ring = match prepared.keys.for_range(&ask.region, ask.from, ask.until.max(now)).await {
        Ok(ring) => ring,
        Err(error) => {
            print(Stream::Err, &format!("\n{error}\n"));
            return ExitCode::LikeAwsFailure;
        }
    };
    match validate(&prepared.sources, &ring, &ask, &mut print).await {
        0 => ExitCode::Good,
        1 => ExitCode::Finding,
        _ => ExitCode::LikeAwsFailure,
    }
}

/// What that command makes of its options, or its words about them.
async fn request(args: &Args, prepared: &Prepared, now: Timestamp) -> Result<LikeAws, String> {
    let trail_arn = args.trail_arn.clone().unwrap_or_default();
    let (owner, home) = parse_arn(&trail_arn)?;
    let account = args.account.first().copied().unwrap_or(owner);
    let seconds = |time: Option<Start>| time.and_then(|time| time.resolve(now)).map(Timestamp::as_second);
    let from = seconds(args.from).unwrap_or_default();
    let until = seconds(args.until).unwrap_or_else(|| now.as_second());
    if from > until {
        return Err("Invalid time range specified: start-time must occur before end-time".to_owned());
    }
    let prefix = args.s3_prefix.clone().unwrap_or_else(|| prepared.prefix.clone());
    let organization = match (&args.organization_id, prepared.sources.iter().next()) {
        (None, Some(source)) if prepared.of_organization => {
            organization_of(&prepared.sources, source, account).await?
        }
        (given, _) => given.clone(),
    };
    Ok(LikeAws {
        region: args.region.first().cloned().unwrap_or_else(|| home.to_owned()),
        bucket: prepared.first.clone(),
        prefix: prefix.trim_end_matches('/').to_owned(),
        organization,
        account,
        from,
        until,
        verbose: args.verbose,
        trail_arn,
    })
}
