//! Measures stages in turns and reduces the rounds to medians.
//!
//! In: the stages. Out: one row per stage: median CPU seconds, and the median of its ratio to the bound of the
//! same round.

use rustix::time::{ClockId, clock_gettime};

use crate::stages::{Stage, Stages};

/// What one stage cost.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Median CPU seconds for all the data.
    pub(crate) seconds: f64,
    /// Median of the ratio to the bound of the same round.
    pub(crate) of_bound: f64,
}

/// Runs every stage whose name holds `only` (and the empty text stands in all) `rounds` times, in turns, after one round to warm up.
pub(crate) fn measure(stages: &mut Stages, rounds: usize, only: &str) -> anyhow::Result<Vec<Row>> {
    let chosen: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| stage.name().contains(only)).collect();
    let mut times = vec![Vec::with_capacity(rounds); chosen.len()];
    for round in 0..=rounds {
        for (stage, times) in chosen.iter().zip(&mut times) {
            let start = cpu_seconds();
            stages.run(*stage)?;
            let spent = cpu_seconds() - start;
            if round > 0 {
                times.push(spent);
            }
        }
    }
    let bound = chosen.iter().zip(&times).find(|(stage, _)| **stage == Stage::Bound);
    let bound = bound.map(|(_, times)| times.clone()).unwrap_or_default();
    let rows = chosen.iter().zip(times).map(|(stage, times)| {
        let ratios = times.iter().zip(&bound).map(|(time, bound)| time / bound).collect();
        Row { name: stage.name(), seconds: median(times), of_bound: median(ratios) }
    });
    Ok(rows.collect())
}

/// User and system time of this process, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The middle one, or the mean of the two in the middle; not a number when there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    let lower = values.get(middle.saturating_sub(1)).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) { (lower + upper) / 2.0 } else { upper }
}
