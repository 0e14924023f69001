//! Runs the benchmarks: what each stage of the mill costs, as a share of what the job costs at the very least.
//!
//! Other words first: `pipeline` measures the whole program, `memory` its peak memory, `s3` peak and speed from S3
//! to S3.
//!
//! In: synthetic log objects (or a folder of real ones, `--data DIR`). Out: a table on stdout. The bound is
//! inflating, hashing and compressing the same bytes with the same libraries, measured in the same run; stages
//! take turns, round by round, so that a busy machine disturbs all of them alike. CPU time (user and system),
//! not wall time, one thread.

mod data;
mod measure;
mod memory;
mod pipeline;
mod programs;
mod s3;
mod stages;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};

use measure::{Row, measure};
use programs::Programs;
use stages::{Stage, Stages};

struct Options {
    rounds: usize,
    megabytes: usize,
    data: Option<PathBuf>,
    /// Only the stages whose name holds this.
    only: String,
    /// Where `trailhaul` and `simorg` are: beside this program.
    programs: Programs,
    /// Where trees and archives go; beside the programs without it.
    folder: Option<PathBuf>,
    /// Whether the trees of the memory measurement are small.
    small: bool,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let what = arguments.next_if(|word| !word.starts_with("--")).unwrap_or_default();
    let options = parse(arguments)?;
    let folder = || options.folder.clone().unwrap_or_else(|| options.programs.0.join(&what));
    match what.as_str() {
        "" => stages(&options),
        "pipeline" => pipeline::run(&options.programs, &folder(), options.rounds, options.megabytes),
        "memory" => memory::run(&options.programs, &folder(), options.small),
        "s3" => s3::run(&options.programs, &folder(), options.small),
        other => bail!("unknown word {other}; there are pipeline, memory, s3, and none for the stages"),
    }
}

fn stages(options: &Options) -> anyhow::Result<()> {
    let objects = match &options.data {
        Some(folder) => data::read_folder(folder)?,
        None => data::synthetic(options.megabytes * 1_000_000)?,
    };
    let mut stages = Stages::new(objects)?;
    let rows = measure(&mut stages, options.rounds, &options.only)?;
    print(&stages, &rows, options.rounds)
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let here = std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default();
    let mut options = Options {
        rounds: 9,
        megabytes: 100,
        data: None,
        only: String::new(),
        programs: Programs(here),
        folder: None,
        small: false,
    };
    while let Some(arg) = args.next() {
        if arg == "--small" {
            options.small = true;
            continue;
        }
        let value = args.next().with_context(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--rounds" => options.rounds = value.parse().context("--rounds is not a number")?,
            "--megabytes" => options.megabytes = value.parse().context("--megabytes is not a number")?,
            "--data" => options.data = Some(value.into()),
            "--only" => options.only = value,
            "--folder" => options.folder = Some(value.into()),
            _ => bail!(
                "unknown option {arg}; there are --rounds N, --megabytes N, --data DIR, --only STAGE, --folder DIR, --small"
            ),
        }
    }
    if options.rounds == 0 {
        bail!("--rounds must be at least 1");
    }
    Ok(options)
}

fn print(stages: &Stages, rows: &[Row], rounds: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let facts = stages.facts();
    writeln!(
        out,
        "{} objects, {:.1} MB stored, {:.1} MB raw (gzip {:.1}:1, zstd {:.1}:1), {} records; medians of {rounds} rounds",
        facts.objects,
        facts.stored as f64 / 1e6,
        facts.raw as f64 / 1e6,
        facts.raw as f64 / facts.stored as f64,
        facts.raw as f64 / facts.framed as f64,
        facts.records,
    )?;
    writeln!(
        out,
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "stage", "CPU s/GB", "MB/s", "of bound", "of mill", "records/s"
    )?;
    let mill = rows.iter().find(|row| row.name == Stage::Mill.name()).map_or(f64::NAN, |row| row.seconds);
    for row in rows {
        writeln!(
            out,
            "{:<28} {:>10.3} {:>10.0} {:>10.3} {:>10.3} {:>12.0}",
            row.name,
            row.seconds / (facts.raw as f64 / 1e9),
            facts.raw as f64 / 1e6 / row.seconds,
            row.of_bound,
            row.seconds / mill,
            f64::from(facts.records) / row.seconds,
        )?;
    }
    Ok(())
}
