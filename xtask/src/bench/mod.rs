//! `cargo xtask bench`: how fast the observer is, against its peers, on large workloads made from the captures.
//!
//! Timings are shown, never judged: they depend on the machine and on what else it does. All programs read the same
//! file in the same run, from the page cache.

mod attribution;
mod measure;
mod packet;
mod pcap;
mod table;
mod template;
mod workload;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::measure::{Contender, Cost};
use self::table::{Baselines, Row};
use self::template::Templates;
use self::workload::{HTTP_CYCLES, SHAPES, Shape, Totals};
use crate::command::{cargo, find_program, run, target_dir};
use crate::{Task, UsageError, print, system, take_number, unknown_word};

/// The task.
pub(crate) const TASK: Task = Task {
    name: "bench",
    summary: "measures the observer and its peers on large workloads made from the captures",
    help: "\
Usage: cargo xtask bench [--megabytes N] [--runs N] [--only WORKLOAD] [--keep]
       cargo xtask bench attribution [--seconds N] [--megabytes N]

Makes large capture files from captures/ (many phones' worth of flows between fresh addresses and ports), then
runs a plain libpcap loop, the observer, ndpiReader and tshark on each, where installed, and prints medians:
wall and processor time, MB/s, packets/s, flows/s, peak memory, and processor time as a ratio to the libpcap
loop and to ndpiReader. What the database costs is compared with the floor: the same rows, inserted by SQLite alone
into the same tables, without anything else. Last comes the observer on a quarter and on twice the size of the mixed workload.

Workloads: mixed (80 % of the bytes in a few bulk TLS flows), handshakes, dns, http, quic, slice (an eighth of mixed).
tshark is measured on the slice only.

Options:
  --megabytes N    size of the mixed workload; the others are in proportion (default: 256)
  --runs N         runs after a warm-up, of which the median is shown (default: 3)
  --only WORKLOAD  only this workload; `memory` is the last part alone
  --keep           keep the workloads in Cargo's target directory, under bench/

With `attribution` (root, Linux): makes short flows of 100 users in network namespaces, at 100 and 1,000 a second
and as many as the machine makes, and shows for each method which share of them has an owner, and the right one;
what the kernel program costs a packet; and how many frames of a replayed workload the observer and dumpcap lose.

  --seconds N      how long flows are made for each row (default: 5)
  --megabytes N    size of the replayed workload (default: 128)
",
    run: bench,
};

/// The observer's exit codes that say it ran.
const RAN: &[i32] = &[0, 1, 4];

/// The name of the workload that is small enough for tshark.
const SLICE: &str = "slice";

/// The program that measures what the database cannot do without.
const FLOOR: &str = "sqlite_floor";

/// The name of the last part.
const MEMORY: &str = "memory";

struct Options {
    megabytes: u64,
    runs: usize,
    only: Option<String>,
    keep: bool,
}

fn options(mut words: &[String]) -> anyhow::Result<Options> {
    let mut options = Options { megabytes: 256, runs: 3, only: None, keep: false };
    while let Some((word, rest)) = words.split_first() {
        if let Some(megabytes) = take_number(&mut words, "--megabytes")? {
            options.megabytes = megabytes.max(1);
        } else if let Some(runs) = take_number(&mut words, "--runs")? {
            options.runs = usize::try_from(runs)?.max(1);
        } else if word == "--keep" {
            options.keep = true;
            words = rest;
        } else if word == "--only" {
            let known =
                |name: &str| SHAPES.iter().any(|shape| shape.name == name) || [SLICE, MEMORY].contains(&name);
            let Some((name, rest)) = rest.split_first().filter(|(name, _)| known(name)) else {
                return Err(UsageError("--only needs the name of a workload".to_owned()).into());
            };
            options.only = Some(name.clone());
            words = rest;
        } else {
            return Err(unknown_word(&TASK, word));
        }
    }
    Ok(options)
}

fn bench(words: &[String]) -> anyhow::Result<()> {
    if let [first, rest @ ..] = words
        && first == "attribution"
    {
        return attribution::bench(rest);
    }
    let options = options(words)?;
    system::install(&[&system::C_COMPILER, &system::LIBPCAP])?;
    run(cargo().args(["build", "--locked", "--release", "--package", "observer", "--bins"]))?;
    run(cargo().args(["build", "--locked", "--release", "--package", "observer", "--example", FLOOR]))?;
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    measure::compile(&folder)?;
    let templates = template::load(HTTP_CYCLES)?;
    let bench = Bench { folder, templates, options };

    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    print(&format!(
        "{cores} cores; medians of {} runs after a warm-up, files in the page cache\n",
        bench.options.runs
    ))?;
    print(&table::head())?;
    let asked = |name: &str| bench.options.only.as_ref().is_none_or(|only| only == name);
    for shape in SHAPES.iter().filter(|shape| asked(shape.name)) {
        bench.compare(shape.name, shape, shape.size_percent, false)?;
    }
    let [mixed, ..] = &SHAPES;
    if asked(SLICE) {
        bench.compare(SLICE, mixed, 12, true)?;
    }
    if asked(MEMORY) {
        bench.memory(mixed)?;
    }
    Ok(())
}

/// One run of the benchmark.
struct Bench {
    folder: PathBuf,
    templates: Templates,
    options: Options,
}

impl Bench {
    /// All contenders on one workload.
    fn compare(&self, name: &str, shape: &Shape, percent: u64, with_tshark: bool) -> anyhow::Result<()> {
        let (file, totals) = self.generate(name, shape, percent)?;
        print(&table::title(name, &totals))?;
        let mut baselines = Baselines::default();
        let mut rows = Vec::new();
        for contender in self.contenders(&file, with_tshark) {
            eprintln!("# {name}: {}", contender.name);
            let cost = measure::median(&self.folder, &contender, self.options.runs)?;
            match contender.name {
                LIBPCAP => baselines.libpcap = Some(cost.cpu.as_secs_f64()),
                NDPI => baselines.ndpi = Some(cost.cpu.as_secs_f64()),
                _ => {}
            }
            rows.push(Row { name: contender.name, cost });
        }
        for row in &rows {
            print(&table::row(row, &totals, &baselines))?;
        }
        let cost_of = |name| rows.iter().find(|row| row.name == name).map(|row| row.cost.cpu.as_secs_f64());
        if let Some((plain, database)) = cost_of(PLAIN).zip(cost_of(DATABASE)) {
            eprintln!("# {name}: {FLOOR}");
            print(&table::floor(database - plain, self.floor()?))?;
        }
        let aim = if with_tshark { "with database a 25th of tshark" } else { shape.aim };
        print(&format!("  aim: {aim}\n"))?;
        self.remove(&file)
    }

    /// Processor seconds in which SQLite inserts the rows of the database that was made last, without what it takes to
    /// read them.
    fn floor(&self) -> anyhow::Result<f64> {
        let copy = ["floor.db", "floor.db-wal", "floor.db-shm"].map(|name| self.folder.join(name));
        let program = target_dir().join("release").join("examples").join(FLOOR);
        let reads = Contender {
            name: FLOOR,
            words: vec![program.into(), self.folder.join(DATABASE_FILE).into()],
            ran: &[0],
            leaves: Vec::new(),
        };
        let words = reads.words.iter().cloned().chain(copy.first().map(OsString::from)).collect();
        let writes = Contender { name: FLOOR, words, ran: &[0], leaves: copy.to_vec() };
        let [read, write] = [reads, writes].map(|one| measure::median(&self.folder, &one, self.options.runs));
        Ok(write?.cpu.as_secs_f64() - read?.cpu.as_secs_f64())
    }

    /// The observer with its database on a quarter and on twice the size: time must follow the size, memory must not.
    fn memory(&self, shape: &Shape) -> anyhow::Result<()> {
        let mut measured: Vec<(Cost, Totals)> = Vec::new();
        for (name, percent) in [("quarter", 25), ("double", 200)] {
            let (file, totals) = self.generate(name, shape, percent)?;
            print(&table::title(&format!("{} at {percent} %", shape.name), &totals))?;
            let contender = self.observer(DATABASE, &file);
            eprintln!("# {name}: {}", contender.name);
            let cost = measure::median(&self.folder, &contender, self.options.runs)?;
            print(&table::row(&Row { name: contender.name, cost }, &totals, &Baselines::default()))?;
            measured.push((cost, totals));
            self.remove(&file)?;
        }
        if let [(small, _), (large, _)] = measured.as_slice() {
            let time = large.wall.as_secs_f64() / small.wall.as_secs_f64();
            let memory = table::quotient(large.peak, small.peak);
            print(&format!(
                "  8 times the size: {time:.2} times the wall time, {memory:.2} times the peak memory\n"
            ))?;
        }
        Ok(())
    }

    /// Writes a workload of `percent` of the asked size.
    fn generate(&self, name: &str, shape: &Shape, percent: u64) -> anyhow::Result<(PathBuf, Totals)> {
        let path = self.folder.join(name).with_extension("pcap");
        let bytes = self.options.megabytes * 1_000_000 / 100 * percent;
        eprintln!("# {name}: making {}", path.display());
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        let totals = workload::write(shape, bytes, &self.templates, out)
            .with_context(|| format!("making {}", path.display()))?;
        Ok((path, totals))
    }

    fn remove(&self, file: &Path) -> anyhow::Result<()> {
        if !self.options.keep {
            fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(())
    }

    fn contenders(&self, file: &Path, with_tshark: bool) -> Vec<Contender> {
        let mut contenders = vec![
            Contender {
                name: LIBPCAP,
                words: vec![self.folder.join("pcap_loop").into(), file.into()],
                ran: &[0],
                leaves: Vec::new(),
            },
            self.observer(PLAIN, file),
            self.observer(ONE_THREAD, file),
            self.observer(DATABASE, file),
        ];
        if let Some(ndpi) = find_program("ndpiReader") {
            let table = self.folder.join("ndpi.csv");
            let words =
                [ndpi.into(), "-q".into(), "-i".into(), file.into(), "-C".into(), table.clone().into()];
            contenders.push(Contender { name: NDPI, words: words.into(), ran: &[0], leaves: vec![table] });
        }
        if let Some(tshark) = find_program("tshark").filter(|_| with_tshark) {
            let mut words: Vec<OsString> = vec![tshark.into(), "-n".into(), "-r".into(), file.into()];
            words.extend(["-T", "fields"].map(OsString::from));
            for field in TSHARK_FIELDS {
                words.extend(["-e".into(), OsString::from(field)]);
            }
            contenders.push(Contender { name: "tshark -T fields", words, ran: &[0], leaves: Vec::new() });
        }
        contenders
    }

    /// The observer in one of its ways to run.
    fn observer(&self, name: &'static str, file: &Path) -> Contender {
        let binary = target_dir().join("release").join("observer");
        let mut words: Vec<OsString> = vec![binary.into(), "analyze".into(), file.into()];
        let mut leaves = Vec::new();
        match name {
            ONE_THREAD => words.extend(["--threads".into(), "1".into()]),
            DATABASE => {
                let database = self.folder.join(DATABASE_FILE);
                words.extend(["--db".into(), database.clone().into()]);
                leaves = ["run.db-wal", "run.db-shm"].map(|name| self.folder.join(name)).into();
                leaves.push(database);
            }
            _ => {}
        }
        Contender { name, words, ran: RAN, leaves }
    }
}

/// The database that the observer writes.
const DATABASE_FILE: &str = "run.db";

/// Names of the contenders that are more than a row.
const LIBPCAP: &str = "libpcap loop";
const NDPI: &str = "ndpiReader, CSV";
const PLAIN: &str = "observer, no database";
const ONE_THREAD: &str = "observer, one thread";
const DATABASE: &str = "observer --db";

/// What tshark is asked for: about what the observer finds.
const TSHARK_FIELDS: [&str; 8] = [
    "frame.number",
    "tcp.stream",
    "udp.stream",
    "tls.handshake.type",
    "tls.handshake.extensions_server_name",
    "x509sat.uTF8String",
    "dns.qry.name",
    "http.request.uri",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Options> {
        options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_in_any_order() {
        let options = parse("--keep --runs 5 --only dns --megabytes 1000").unwrap();
        assert_eq!((options.megabytes, options.runs, options.keep), (1000, 5, true));
        assert_eq!(options.only.as_deref(), Some("dns"));
        for wrong in ["--only everything", "--only", "--runs", "--megabytes x", "dns"] {
            assert!(parse(wrong).is_err_and(|error| error.is::<UsageError>()), "{wrong}");
        }
    }
}
