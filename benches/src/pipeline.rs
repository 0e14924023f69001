//! The whole pipeline: what `trailhaul run --once` costs over a simulated organization, as a share of the bound.
//!
//! In: the programs, a folder, how much raw JSON. Out: a table on stdout. CPU time (user and system) of the
//! whole process, start and commit included, against inflating, hashing and compressing the same objects in
//! this process; they take turns. Copies of an event are compressed once by the pipeline and as often as they
//! come by the bound, so the share says what a haul costs per raw byte delivered by CloudTrail.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};

use crate::data;
use crate::measure::{cpu_seconds, median};
use crate::programs::{Programs, configure};
use crate::stages::{Stage, Stages};

/// Measures `rounds` rounds after one to warm up.
pub(crate) fn run(programs: &Programs, folder: &Path, rounds: usize, megabytes: usize) -> anyhow::Result<()> {
    let raw = megabytes * 1_000_000;
    let arguments = format!("write --seed 5 --accounts 12 --regions 4 --hours 6 --raw-bytes {raw}");
    let trees = [programs.tree(&folder.join("tree"), &arguments)?];
    let [tree] = &trees;
    let mut stages = Stages::new(data::read_folder(&tree.folder.join("buckets"))?)?;
    let facts = stages.facts();
    let (mut bounds, mut whole, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let start = cpu_seconds();
        stages.run(Stage::Bound)?;
        let bound = cpu_seconds() - start;
        let config = configure(&folder.join("run"), &trees, "")?;
        let start = children_seconds()?;
        let status = programs.haul(&config).stdout(Stdio::null()).status().context("run trailhaul")?;
        ensure!(status.success(), "trailhaul run --once: {status}");
        let spent = children_seconds()? - start;
        if round > 0 {
            bounds.push(bound);
            whole.push(spent);
            shares.push(spent / bound);
        }
    }
    let gb = facts.raw as f64 / 1e9;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", tree.about)?;
    writeln!(out, "{:<28} {:>10} {:>12} {:>10}", "whole pipeline", "CPU s/GB", "ms/object", "of bound")?;
    for (name, times, share) in
        [("bound: all three", bounds, 1.0), ("trailhaul run --once", whole, median(shares))]
    {
        let seconds = median(times);
        let each = seconds * 1e3 / facts.objects as f64;
        writeln!(out, "{name:<28} {:>10.3} {each:>12.3} {share:>10.3}", seconds / gb)?;
    }
    Ok(())
}

/// User and system time of all children that have ended, to a hundredth of a second.
fn children_seconds() -> anyhow::Result<f64> {
    /// Linux counts these times in hundredths of a second, whatever the kernel's own clock does.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").context("only Linux keeps these times there")?;
    // The second field, the program's name in parentheses, may hold spaces; fields 16 and 17 are the children's.
    let after = stat.rsplit_once(')').context("an odd /proc/self/stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().skip(13).take(2).collect();
    let ticks = fields.iter().map(|field| field.parse::<f64>()).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}
