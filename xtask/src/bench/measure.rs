//! What a program costs: wall and processor time, and peak memory.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::command::{program, run};

/// The programs in C, compiled when they are needed: this package itself links no library.
const SOURCES: [(&str, &str, &[&str]); 2] =
    [("pcap_loop", include_str!("pcap_loop.c"), &["-lpcap"]), ("measure", include_str!("measure.c"), &[])];

/// What one run cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    /// User and system time of all threads.
    pub(super) cpu: Duration,
    /// In KiB.
    pub(super) peak: u64,
}

/// A program under measurement, with its exit codes that say it ran.
pub(super) struct Contender {
    /// As the table calls it.
    pub(super) name: &'static str,
    pub(super) words: Vec<OsString>,
    pub(super) ran: &'static [i32],
    /// Files that a run leaves and the next one must not find.
    pub(super) leaves: Vec<PathBuf>,
}

/// Compiles the C programs into `folder`.
pub(super) fn compile(folder: &Path) -> anyhow::Result<()> {
    SOURCES.iter().try_for_each(|(name, source, libraries)| compile_program(folder, name, source, libraries))
}

/// Compiles one C program into `folder`.
pub(super) fn compile_program(
    folder: &Path,
    name: &str,
    source: &str,
    libraries: &[&str],
) -> anyhow::Result<()> {
    let file = folder.join(name).with_extension("c");
    fs::write(&file, source).with_context(|| format!("writing {}", file.display()))?;
    run(program("cc", &["-O2", "-Wall", "-Wextra", "-o"]).arg(folder.join(name)).arg(&file).args(libraries))
}

/// Runs a contender `runs` times after a warm-up and returns the median of each cost.
pub(super) fn median(folder: &Path, contender: &Contender, runs: usize) -> anyhow::Result<Cost> {
    once(folder, contender)?;
    let costs = (0..runs).map(|_| once(folder, contender)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Cost {
        wall: middle(costs.iter().map(|cost| cost.wall)),
        cpu: middle(costs.iter().map(|cost| cost.cpu)),
        peak: middle(costs.iter().map(|cost| cost.peak)),
    })
}

fn once(folder: &Path, contender: &Contender) -> anyhow::Result<Cost> {
    for file in contender.leaves.iter().filter(|file| file.exists()) {
        fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
    }
    let result = folder.join("measured");
    let mut command = Command::new(folder.join("measure"));
    command.arg(&result).args(&contender.words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("starting the measuring program")?;
    ensure!(status.success(), "the measuring program failed: {status}");
    let text = fs::read_to_string(&result).with_context(|| format!("reading {}", result.display()))?;
    let (cost, code) = parse(&text).with_context(|| format!("`{text}` is no measurement"))?;
    let words = contender.words.join(OsStr::new(" "));
    ensure!(contender.ran.contains(&code), "`{}` ended with exit code {code}", words.to_string_lossy());
    Ok(cost)
}

/// Reads what the measuring program writes: wall, user, system in nanoseconds, peak in KiB, exit code.
fn parse(text: &str) -> Option<(Cost, i32)> {
    let mut words = text.split_whitespace();
    let mut number = || words.next()?.parse::<u64>().ok();
    let (wall, user, system, peak) = (number()?, number()?, number()?, number()?);
    let code = words.next()?.parse().ok()?;
    let cost = Cost { wall: Duration::from_nanos(wall), cpu: Duration::from_nanos(user + system), peak };
    Some((cost, code))
}

/// The median; of an even number, the lower of the two in the middle.
fn middle<T: Ord + Default>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort();
    let middle = values.len().saturating_sub(1) / 2;
    values.into_iter().nth(middle).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_read_whole_or_not_at_all() {
        let (cost, code) = parse("2000000 500 1500 3072 4\n").unwrap();
        assert_eq!(cost, Cost { wall: Duration::from_millis(2), cpu: Duration::from_micros(2), peak: 3072 });
        assert_eq!(code, 4);
        assert_eq!(parse("1 2 3 4"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_median_is_a_value_that_occurred() {
        assert_eq!(middle([3, 1, 2].into_iter()), 2);
        assert_eq!(middle([4, 1, 2, 3].into_iter()), 2);
        assert_eq!(middle(std::iter::empty::<u64>()), 0);
    }
}
