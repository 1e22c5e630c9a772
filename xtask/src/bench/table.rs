//! The measurements as a table in plain text.

use super::measure::Cost;
use super::workload::Totals;

/// One program on one workload.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) cost: Cost,
}

/// What the ratios of a row are taken against.
#[derive(Default)]
pub(super) struct Baselines {
    /// Processor seconds of the libpcap loop.
    pub(super) libpcap: Option<f64>,
    /// Processor seconds of ndpiReader.
    pub(super) ndpi: Option<f64>,
}

/// The head of the table.
pub(super) fn head() -> String {
    format!(
        "{:<26}{:>8}{:>8}{:>9}{:>9}{:>10}{:>10}{:>10}{:>10}\n",
        "", "wall s", "CPU s", "MB/s", "Mpkt/s", "flows/s", "peak MiB", "x libpcap", "x nDPI"
    )
}

/// The name and size of a workload.
pub(super) fn title(name: &str, totals: &Totals) -> String {
    let megabytes = as_f64(totals.bytes) / 1e6;
    format!(
        "{name}: {megabytes:.0} MB, {} packets of {:.0} bytes, {} flows ({:.0} a GB)\n",
        totals.packets,
        quotient(totals.bytes, totals.packets),
        totals.flows,
        quotient(totals.flows, totals.bytes) * 1e9,
    )
}

/// One row; rates are over wall time, ratios over processor time.
pub(super) fn row(row: &Row, totals: &Totals, baselines: &Baselines) -> String {
    let wall = row.cost.wall.as_secs_f64();
    let cpu = row.cost.cpu.as_secs_f64();
    let rate = |amount: u64| if wall > 0.0 { as_f64(amount) / wall } else { f64::INFINITY };
    format!(
        "  {:<24}{:>8.3}{:>8.3}{:>9.0}{:>9.2}{:>10.0}{:>10.1}{:>10}{:>10}\n",
        row.name,
        wall,
        cpu,
        rate(totals.bytes) / 1e6,
        rate(totals.packets) / 1e6,
        rate(totals.flows),
        as_f64(row.cost.peak) / 1024.0,
        ratio(cpu, baselines.libpcap),
        ratio(cpu, baselines.ndpi),
    )
}

/// What the database costs over a run without one, beside what SQLite alone takes for its rows, in processor seconds.
pub(super) fn floor(database: f64, floor: f64) -> String {
    let share = if database > 0.0 { 100.0 * floor / database } else { f64::INFINITY };
    format!(
        "  the database costs {database:.3} s; the floor of its rows is {floor:.3} s: {share:.0} % (aim: 60 %)\n"
    )
}

/// How often `base` goes into `value`, both counts.
pub(super) fn quotient(value: u64, base: u64) -> f64 {
    as_f64(value) / as_f64(base)
}

/// How often `base` goes into `value`; a dash where there is no base.
fn ratio(value: f64, base: Option<f64>) -> String {
    match base {
        Some(base) if base > 0.0 => format!("{:.2}", value / base),
        _ => "-".to_owned(),
    }
}

/// A count as a floating-point number; exact up to 2^53.
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_over_wall_time_and_ratios_over_processor_time() {
        let totals = Totals { bytes: 100_000_000, packets: 1_000_000, flows: 5_000 };
        let cost = Cost { wall: Duration::from_millis(500), cpu: Duration::from_millis(900), peak: 2048 };
        let baselines = Baselines { libpcap: Some(0.3), ndpi: None };
        let line = row(&Row { name: "observer", cost }, &totals, &baselines);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["observer", "0.500", "0.900", "200", "2.00", "10000", "2.0", "3.00", "-"]);
        assert_eq!(head().trim_end().len(), line.trim_end().len());
        assert_eq!(
            title("dns", &totals),
            "dns: 100 MB, 1000000 packets of 100 bytes, 5000 flows (50000 a GB)\n"
        );
    }
}
