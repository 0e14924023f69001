//! The peak memory of a run with `limits.memory: 64MiB`, held against its bound.
//!
//! In: the programs, a folder for some 300 MB. Out: the peak on stdout; an error when it is over the bound.
//! One run over trees that are each hard on memory: one object of 1 GiB raw; 10,000 small objects; a million
//! ids within ten minutes of event time; an organization of 12 accounts with overlapping trails, so that lanes
//! compete. Beside the archive there is a slow sink: the console, whose reader takes its time. The peak is
//! `VmHWM`, which the kernel keeps per process, looked at until the process has ended; Linux only.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::programs::{Programs, configure};

pub(crate) const MIB: u64 = 1 << 20;
/// What the configuration says.
pub(crate) const LIMIT: u64 = 64 * MIB;
/// What the process itself may take beside what the limit counts: its code, stacks, and the allocator's slack.
pub(crate) const BESIDE: u64 = 48 * MIB;

/// The trees, and what `simorg` is asked for.
const TREES: [(&str, &str); 4] = [
    ("one-object", "bulk --seed 1 one-object --raw-bytes 1073741824"),
    ("small-objects", "bulk --seed 2 small-objects --objects 10000"),
    ("one-slot", "bulk --seed 3 one-slot --ids 1000000"),
    ("organization", "write --seed 4 --accounts 12 --regions 2 --hours 2 --raw-bytes 150000000"),
];

/// The same kinds, small: does the measurement itself work?
const SMALL: [(&str, &str); 4] = [
    ("one-object", "bulk --seed 1 one-object --raw-bytes 20000000"),
    ("small-objects", "bulk --seed 2 small-objects --objects 200"),
    ("one-slot", "bulk --seed 3 one-slot --ids 20000"),
    ("organization", "write --seed 4 --accounts 12 --regions 2 --hours 2 --rate 10"),
];

/// Makes the trees, hauls them, prints the peak.
pub(crate) fn run(programs: &Programs, folder: &Path, small: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut trees = Vec::new();
    for (name, arguments) in if small { SMALL } else { TREES } {
        let tree = programs.tree(&folder.join(name), arguments)?;
        writeln!(out, "{name:<14} {}", tree.about)?;
        trees.push(tree);
    }
    let more = "  slow: {type: console}\nlimits: {memory: 64MiB}\n";
    let config = configure(&folder.join("run"), &trees, more)?;
    let start = Instant::now();
    let mut child = programs.haul(&config).stdout(Stdio::piped()).spawn().context("run trailhaul")?;
    let reading = child.stdout.take().context("no pipe")?;
    let reader = std::thread::spawn(move || read_slowly(reading));
    let peak = watch(&mut child)?;
    let status = child.wait()?;
    let lines = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    ensure!(status.success(), "trailhaul run --once: {status}");
    let took = start.elapsed().as_secs_f64();
    writeln!(out, "hauled in {took:.0} s with limits.memory 64 MiB; the slow sink got {lines} lines")?;
    let bound = LIMIT + BESIDE;
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    writeln!(
        out,
        "peak RSS {:.1} MiB ({:.1} MiB of it anonymous); the bound is {} MiB",
        mib(peak.resident),
        mib(peak.anonymous),
        bound / MIB
    )?;
    ensure!(peak.resident > 0, "nothing was measured");
    if peak.resident > bound {
        bail!("over the bound");
    }
    Ok(())
}

/// Counts the lines of a pipe: at most about 60 MB/s, with pauses of two seconds, so that the sink holds up
/// all others again and again.
fn read_slowly(mut pipe: ChildStdout) -> anyhow::Result<u64> {
    const PAUSE_EVERY: u64 = 200_000_000;
    let mut buffer = vec![0; 64 * 1024];
    let (mut lines, mut bytes, mut pauses) = (0, 0, 1);
    loop {
        let count = pipe.read(&mut buffer)?;
        if count == 0 {
            return Ok(lines);
        }
        let read = buffer.get(..count).unwrap_or_default();
        lines += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        bytes += count as u64;
        std::thread::sleep(Duration::from_millis(1));
        if bytes > pauses * PAUSE_EVERY {
            pauses += 1;
            std::thread::sleep(Duration::from_secs(2));
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Peak {
    pub(crate) resident: u64,
    anonymous: u64,
}

/// Looks at a process until it ends.
pub(crate) fn watch(child: &mut Child) -> anyhow::Result<Peak> {
    let file = format!("/proc/{}/status", child.id());
    let mut peak = Peak::default();
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&file).unwrap_or_default();
        peak.resident = peak.resident.max(field(&text, "VmHWM:"));
        peak.anonymous = peak.anonymous.max(field(&text, "RssAnon:"));
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(peak)
}

/// A field of `/proc/PID/status`, in bytes; 0 where it is not there (a process that has just ended).
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib * 1024)
}
