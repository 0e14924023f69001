//! `trailhaul verify`: are digests and log files as CloudTrail wrote them?
//!
//! In: buckets (from the command line, or the trails of the configuration), saved public keys, a range of
//! time. Out: a report as text or JSON, and the exit code: 0 good, 1 an integrity finding, 69 something
//! could not be checked. With `--like-aws`: what `aws cloudtrail validate-logs` prints and exits with.

mod args;
mod like_aws;
mod sources;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(super) use self::args::Args;

use super::{ExitCode, Global, Output};
use crate::audit::{Report, Sources, Verification, VerifyRequest, write_text};
use crate::runtime::{Clock as _, CpuPool, RetryPolicy, SystemClock};

/// Log files that are read from buckets at once: it hides the latency of a GET behind the others.
const REMOTE_LOGS: usize = 32;

/// Log files per thread that are read from folders at once: some may wait for the disk.
const LOCAL_LOGS: usize = 4;

/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(500);

pub(super) fn run(args: &Args, global: &Global, output: &mut Output) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let logs_here = threads * LOCAL_LOGS;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(4))
        .max_blocking_threads(logs_here + 8)
        .enable_all()
        .build();
    let cpu = CpuPool::new(threads, 2 * threads);
    let (runtime, cpu) = match (runtime, cpu) {
        (Ok(runtime), Ok(cpu)) => (runtime, cpu),
        (Err(error), _) | (_, Err(error)) => {
            output.trouble(&format!("cannot start: {error}"));
            return ExitCode::Internal;
        }
    };
    runtime.block_on(async {
        let sources = Sources::new(Arc::new(cpu), RetryPolicy::requests(), CancellationToken::new());
        match sources::prepare(args, global, sources, output).await {
            Ok(prepared) if args.like_aws => like_aws::run(args, prepared, output).await,
            Ok(prepared) => verify(args, prepared, threads, output).await,
            Err(code) => code,
        }
    })
}

async fn verify(args: &Args, prepared: sources::Prepared, threads: usize, output: &mut Output) -> ExitCode {
    let now = SystemClock.now();
    let resolve = |time: crate::config::Start| time.resolve(now).map(jiff::Timestamp::as_second);
    let from = match args.from {
        Some(from) => resolve(from),
        // Of a copy everything is of interest; of a bucket that grows, the last day.
        None if prepared.copies => None,
        None => Some(now.as_second() - 86_400),
    };
    let request = VerifyRequest {
        from,
        until: args.until.and_then(resolve).map(|until| until.min(now.as_second())),
        now: now.as_second(),
        grace: i64::try_from(args.grace.as_secs()).unwrap_or(i64::MAX / 2),
        accounts: args.account.iter().copied().collect(),
        regions: args.region.iter().cloned().collect(),
        trails: args.trail.iter().cloned().collect(),
        max_log: args.max_log_mib.saturating_mul(1 << 20),
        logs_at_once: if prepared.remote {
            REMOTE_LOGS.max(threads * LOCAL_LOGS)
        } else {
            threads * LOCAL_LOGS
        },
    };
    if request.from.zip(request.until).is_some_and(|(from, until)| from >= until) {
        output.trouble("--until must come after --from");
        return ExitCode::Usage;
    }
    let verification = Verification::find(prepared.sources, request).await;
    let progress = verification.progress();
    let run = verification.run(&prepared.keys, prepared.oracle);
    tokio::pin!(run);
    let report = loop {
        tokio::select! {
            report = &mut run => break report,
            () = tokio::time::sleep(TICK) => output.progress(&progress.to_string()),
        }
    };
    output.progress("");
    show(&report, args, output);
    match report.exit_code() {
        0 => ExitCode::Good,
        1 => ExitCode::Finding,
        _ => ExitCode::Unreachable,
    }
}

fn show(report: &Report, args: &Args, output: &mut Output) {
    if output.is_json() {
        match serde_json::to_value(report) {
            Ok(value) => output.json(&value),
            Err(error) => output.trouble(&format!("cannot write the report: {error}")),
        }
    } else {
        output.text(&write_text(report, args.notes));
    }
}
