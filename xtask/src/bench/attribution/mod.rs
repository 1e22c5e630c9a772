//! `cargo xtask bench attribution`: which share of short flows has its owner, what that costs, and what a capture loses.
//!
//! Whose a flow is says the process that makes it; it takes ends that no other flow of the run has. Everything happens in
//! network namespaces that end with it.

mod judge;
mod network;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};

use self::judge::Share;
use self::network::{INTERFACE, Network, Recorder};
use super::template::{self, Templates};
use super::workload::{self, HTTP_CYCLES, SHAPES};
use super::{TASK, measure};
use crate::command::{cargo, find_program, output, program, run, target_dir};
use crate::{print, system, take_number, unknown_word};

/// The ways to find owners, as the observer and as the table call them.
const METHODS: [(&str, &str); 3] = [("ebpf", "eBPF"), ("sock_diag", "sock_diag"), ("procfs", "/proc/net")];

/// Flows a second; 0 for as many as the machine makes.
const RATES: [u64; 3] = [100, 1000, 0];

/// Frames a second of the replay; 0 for as many as the machine sends.
const REPLAYS: [u64; 3] = [10_000, 50_000, 0];

/// Where the kernel is told to measure its programs.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// How long the last packets and their owners take to arrive.
const SETTLE: Duration = Duration::from_secs(1);

/// One run of the benchmark.
struct Bench {
    folder: PathBuf,
    observer: PathBuf,
    seconds: u64,
    megabytes: u64,
}

/// Measures and prints.
pub(super) fn bench(mut words: &[String]) -> anyhow::Result<()> {
    let (mut seconds, mut megabytes) = (5, 128);
    while let Some(word) = words.first() {
        if let Some(number) = take_number(&mut words, "--seconds")? {
            seconds = number.max(1);
        } else if let Some(number) = take_number(&mut words, "--megabytes")? {
            megabytes = number.max(1);
        } else {
            return Err(unknown_word(&TASK, word));
        }
    }
    ensure!(
        cfg!(target_os = "linux") && system::is_root(),
        "this takes Linux, and root: it makes namespaces"
    );
    system::install(&[&system::C_COMPILER, &system::LIBPCAP, &system::NAMESPACES, &system::DUMPCAP])?;
    run(cargo().args(["build", "--locked", "--release", "--package", "observer"]))?;
    let folder = target_dir().join("bench").join("attribution");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    measure::compile_program(&folder, "flows", include_str!("flows.c"), &[])?;
    measure::compile_program(&folder, "replay", include_str!("replay.c"), &["-lpcap"])?;
    let observer = target_dir().join("release").join("observer");
    let bench = Bench { folder, observer, seconds, megabytes };
    let kernel = output(&mut program("uname", &["-sr"])).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    print(&format!("{cores} cores, {}; each row is {seconds} s of flows\n", kernel.trim()))?;
    bench.shares()?;
    bench.losses(&template::load(HTTP_CYCLES)?)
}

impl Bench {
    /// Each method at each rate.
    fn shares(&self) -> anyhow::Result<()> {
        print(&judge::head())?;
        let _statistics = Statistics::start();
        for (method, name) in METHODS {
            for rate in RATES {
                eprintln!("# {name}, {rate} flows a second");
                let (share, cost) = self.share(method, rate)?;
                print(&judge::row(name, rate, self.seconds, &share, cost))?;
            }
        }
        print(
            "  made by: flows make RATE SECONDS; captured by: observer capture --attribution METHOD --db run.db\n",
        )
    }

    fn share(&self, method: &str, rate: u64) -> anyhow::Result<(Share, Option<f64>)> {
        let network = Network::new()?;
        let _server = network.server(self.folder.join("flows"))?;
        let database = self.folder.join("run.db");
        remove(&self.folder, "run.db")?;
        let notes = self.folder.join("notes");
        remove(&self.folder, "notes.")?;
        let mut capture = network.apps(&self.observer);
        capture.args(["capture", "-i", INTERFACE, "--fail-on", "never", "--attribution", method, "--db"]);
        let capture = Recorder::start(capture.arg(&database), "capturing on")?;
        let mut make = network.apps(self.folder.join("flows"));
        make.args(["make", &rate.to_string(), &self.seconds.to_string()]).arg(&notes);
        run(&mut make)?;
        sleep(SETTLE);
        let cost = program_cost(capture.id());
        let said = capture.end()?;
        let made = judge::made(&self.folder, "notes.")?;
        let mut query = program(&self.observer, &["query", "--format", "csv"]);
        let found =
            output(query.arg(&database).arg(judge::QUESTION)).context("the database cannot be asked")?;
        let share = judge::judge(&made, &found)?;
        if share.unseen > 0 {
            eprintln!("# {}", said.trim().replace('\n', "\n# "));
        }
        remove(&self.folder, "run.db")?;
        remove(&self.folder, "notes.")?;
        Ok((share, cost))
    }

    /// The observer and dumpcap on the same replayed frames at once.
    fn losses(&self, templates: &Templates) -> anyhow::Result<()> {
        let [mixed, ..] = &SHAPES;
        let file = self.folder.join("replayed.pcap");
        let out = File::create(&file).with_context(|| format!("creating {}", file.display()))?;
        let out = BufWriter::with_capacity(1 << 20, out);
        let totals = workload::write(mixed, self.megabytes * 1_000_000, templates, out)?;
        print(&format!(
            "\nLoss: {} MB, {} packets, {} flows, replayed to both at once\n{:<12}{:>12}{:>24}{:>24}\n",
            totals.bytes / 1_000_000,
            totals.packets,
            totals.flows,
            "asked pkt/s",
            "sent pkt/s",
            "observer capture -w",
            "dumpcap -w"
        ))?;
        for rate in REPLAYS {
            eprintln!("# replay, {rate} frames a second");
            print(&self.loss(&file, rate)?)?;
        }
        remove(&self.folder, "replayed.pcap")
    }

    fn loss(&self, file: &Path, rate: u64) -> anyhow::Result<String> {
        let network = Network::new()?;
        let written = |name: &str| self.folder.join(name).with_extension("pcapng");
        let mut observer = network.peers(&self.observer);
        // dumpcap writes and does nothing else; the observer does all that it does. Their rings are of one size.
        observer.args([
            "capture",
            "-i",
            INTERFACE,
            "--promiscuous",
            "--fail-on",
            "never",
            "-B",
            "65536",
            "-w",
        ]);
        let observer = Recorder::start(observer.arg(written("observer")), "capturing on")?;
        let mut dumpcap = network.peers("dumpcap");
        let dumpcap = if find_program("dumpcap").is_some() {
            dumpcap.args(["-q", "-i", INTERFACE, "-B", "64", "-w"]).arg(written("dumpcap"));
            Some(Recorder::start(&mut dumpcap, "File:")?)
        } else {
            None
        };
        let mut replay = network.apps(self.folder.join("replay"));
        replay.arg(INTERFACE).arg(file).arg(rate.to_string());
        let sent = output(&mut replay).context("the replay failed")?;
        sleep(SETTLE);
        let observed = observer.end()?;
        let dumped = dumpcap.map(Recorder::end).transpose()?;
        for name in ["observer", "dumpcap"] {
            remove(&self.folder, &format!("{name}.pcapng"))?;
        }
        judge::loss(rate, &sent, &observed, dumped.as_deref())
    }
}

/// Nanoseconds a run of the program at tc egress that the process `pid` holds; the first kind of classifier that ran.
fn program_cost(pid: u32) -> Option<f64> {
    let folder = fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()?;
    let mut costs = folder.flatten().filter_map(|entry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        judge::classifier(&text)
    });
    costs.find(|(_, runs)| *runs > 0).map(|(nanoseconds, runs)| nanoseconds as f64 / runs as f64)
}

/// The kernel measures its programs for as long as this lives.
struct Statistics {
    before: Option<String>,
}

impl Statistics {
    fn start() -> Self {
        let before = fs::read_to_string(STATISTICS).ok();
        if fs::write(STATISTICS, "1").is_err() {
            eprintln!("# the kernel does not measure its programs: no cost a packet");
        }
        Self { before }
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Where it could not be set there is nothing to set back.
            let _ = fs::write(STATISTICS, before.trim());
        }
    }
}

/// Removes the files of `folder` whose names begin with `prefix`.
fn remove(folder: &Path, prefix: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(prefix) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
