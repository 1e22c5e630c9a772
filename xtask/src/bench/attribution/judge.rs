//! What was made against what was found, and the table of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

/// What the database is asked: the ends of each flow that matter, and its owner.
pub(super) const QUESTION: &str = "SELECT network_transport, source_port, destination_ip, owner_uid FROM flows \
     WHERE destination_ip LIKE '10.78.%'";

/// A flow: transport, port of the app, address of the peer.
type Ends = (String, u16, [u8; 2]);

/// How many flows have an owner, and which.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) made: u64,
    pub(super) right: u64,
    pub(super) wrong: u64,
    /// Flows that the capture has, without an owner.
    pub(super) unattributed: u64,
    /// Flows that the capture has not.
    pub(super) unseen: u64,
}

/// The notes of the processes that made flows: the uid of each.
pub(super) fn made(folder: &Path, prefix: &str) -> anyhow::Result<BTreeMap<Ends, u32>> {
    let mut made = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix)) {
            for line in
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?.lines()
            {
                let (ends, uid) = note(line).with_context(|| format!("`{line}` is no note"))?;
                ensure!(made.insert(ends, uid).is_none(), "two flows had the same ends: {line}");
            }
        }
    }
    Ok(made)
}

fn note(line: &str) -> Option<(Ends, u32)> {
    let mut words = line.split(' ');
    let transport = words.next()?.to_owned();
    let port = words.next()?.parse().ok()?;
    let address: u16 = words.next()?.parse().ok()?;
    Some(((transport, port, address.to_be_bytes()), words.next()?.parse().ok()?))
}

/// Holds the answer to [`QUESTION`], as CSV with a head, against what was made.
pub(super) fn judge(made: &BTreeMap<Ends, u32>, found: &str) -> anyhow::Result<Share> {
    let mut owners: BTreeMap<Ends, Vec<Option<u32>>> = BTreeMap::new();
    for line in found.lines().skip(1) {
        let (ends, owner) = flow(line.trim()).with_context(|| format!("`{line}` is no flow"))?;
        owners.entry(ends).or_default().push(owner);
    }
    let mut share = Share { made: u64::try_from(made.len())?, ..Share::default() };
    for (ends, uid) in made {
        let Some(found) = owners.get(ends) else {
            share.unseen += 1;
            continue;
        };
        // A flow that was cut in two has to be right in both.
        if found.iter().flatten().any(|owner| owner != uid) {
            share.wrong += 1;
        } else if found.iter().any(Option::is_none) {
            share.unattributed += 1;
        } else {
            share.right += 1;
        }
    }
    Ok(share)
}

fn flow(line: &str) -> Option<(Ends, Option<u32>)> {
    let mut words = line.split(',');
    let transport = words.next()?.to_owned();
    let port = words.next()?.parse().ok()?;
    let mut address = words.next()?.rsplit('.').map(str::parse);
    let [last, third] = [address.next()?.ok()?, address.next()?.ok()?];
    let uid = match words.next()? {
        "" => None,
        uid => Some(uid.parse().ok()?),
    };
    Some(((transport, port, [third, last]), uid))
}

/// The head of the table.
pub(super) fn head() -> String {
    format!(
        "{:<11}{:>12}{:>12}{:>10}{:>12}{:>10}{:>8}{:>10}{:>10}{:>14}\n",
        "",
        "asked /s",
        "made /s",
        "flows",
        "attributed",
        "right",
        "wrong",
        "nobody",
        "unseen",
        "tc ns/packet"
    )
}

/// One row; shares are of the flows that were made.
pub(super) fn row(name: &str, rate: u64, seconds: u64, share: &Share, cost: Option<f64>) -> String {
    let percent = |part: u64| format!("{:.2} %", 100.0 * part as f64 / share.made.max(1) as f64);
    format!(
        "{name:<11}{:>12}{:>12}{:>10}{:>12}{:>10}{:>8}{:>10}{:>10}{:>14}\n",
        asked(rate),
        share.made / seconds.max(1),
        share.made,
        percent(share.right + share.wrong),
        percent(share.right),
        share.wrong,
        share.unattributed,
        share.unseen,
        cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.0}")),
    )
}

fn asked(rate: u64) -> String {
    if rate == 0 { "most".to_owned() } else { rate.to_string() }
}

/// Nanoseconds and runs of a program of the type BPF_PROG_TYPE_SCHED_CLS (3), from what /proc says of its descriptor.
pub(super) fn classifier(fdinfo: &str) -> Option<(u64, u64)> {
    let value = |key: &str| -> Option<u64> {
        fdinfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?.trim().parse().ok()
    };
    (value("prog_type")? == 3).then_some((value("run_time_ns")?, value("run_cnt")?))
}

/// A row of the losses, from what the programs say at their ends.
pub(super) fn loss(rate: u64, sent: &str, observed: &str, dumped: Option<&str>) -> anyhow::Result<String> {
    let mut words = sent.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse::<f64>().ok());
    let (count, _refused, seconds) = number()
        .zip(number())
        .zip(number())
        .map(|((a, b), c)| (a, b, c))
        .context("the replay says nothing")?;
    let (kept, dropped) = counts_of_observer(observed).context("the observer does not say what it lost")?;
    let dumped = match dumped {
        Some(said) => {
            let (kept, dropped) = counts_of_dumpcap(said).context("dumpcap does not say what it lost")?;
            lost(count, kept, dropped)
        }
        None => "not installed".to_owned(),
    };
    let second = count / seconds.max(1e-9);
    Ok(format!("{:<12}{second:>12.0}{:>24}{dumped:>24}\n", asked(rate), lost(count, kept, dropped)))
}

/// Frames that did not arrive, and those of them that the kernel counts as dropped.
fn lost(sent: f64, kept: f64, dropped: f64) -> String {
    format!("{:.3} % ({dropped:.0} dropped)", 100.0 * (sent - kept).max(0.0) / sent.max(1.0))
}

/// Of `observer: 12 frames, 3 dropped by kernel, …`.
fn counts_of_observer(said: &str) -> Option<(f64, f64)> {
    let line = said.lines().rev().find(|line| line.contains(" dropped by kernel"))?;
    let mut parts = line.strip_prefix("observer: ")?.split(", ");
    let mut number = |what: &str| parts.next()?.strip_suffix(what)?.trim().parse().ok();
    Some((number("frames")?, number("dropped by kernel")?))
}

/// Of `Packets received/dropped on interface 'bench0': 12/3 (…)`.
fn counts_of_dumpcap(said: &str) -> Option<(f64, f64)> {
    let line = said.lines().rev().find(|line| line.contains("received/dropped on interface"))?;
    let (kept, dropped) = line.split(": ").nth(1)?.split(' ').next()?.split_once('/')?;
    Some((kept.parse().ok()?, dropped.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_wrong_unattributed_and_unseen_are_told_apart() {
        let made = ["tcp 1 257 10100", "udp 2 1 10101", "tcp 3 1 10102", "tcp 4 1 10103", "tcp 5 1 10104"];
        let made = made.iter().map(|line| note(line).unwrap()).collect();
        let found = "network_transport,source_port,destination_ip,owner_uid\n\
            tcp,1,10.78.1.1,10100\nudp,2,10.78.0.1,10100\ntcp,3,10.78.0.1,\n\
            tcp,4,10.78.0.1,10103\ntcp,4,10.78.0.1,10104\n";
        let share = judge(&made, found).unwrap();
        assert_eq!(share, Share { made: 5, right: 1, wrong: 2, unattributed: 1, unseen: 1 });
        assert!(judge(&made, "head\nnonsense\n").is_err());
        let row = row("eBPF", 0, 5, &share, Some(314.2));
        let words: Vec<_> = row.split_whitespace().collect();
        assert_eq!(words, ["eBPF", "most", "1", "5", "60.00", "%", "20.00", "%", "2", "1", "1", "314"]);
        assert_eq!(row.len(), head().len());
    }

    #[test]
    fn only_classifiers_count() {
        let text = "pos:\t0\nprog_type:\t3\nprog_jited:\t1\nrun_time_ns:\t4200\nrun_cnt:\t10\n";
        assert_eq!(classifier(text), Some((4200, 10)));
        assert_eq!(classifier(&text.replace(":\t3", ":\t5")), None);
        assert_eq!(classifier("pos:\t0\n"), None);
    }

    #[test]
    fn losses_are_what_was_sent_and_not_kept() {
        let observed =
            "observer: capturing on bench0\nobserver: 990 frames, 10 dropped by kernel, 7 flows, 0 …\n";
        let dumped =
            "Capturing on 'bench0'\nPackets received/dropped on interface 'bench0': 1000/0 (pcap:0)\n";
        let row = loss(50_000, "1000 0 0.02\n", observed, Some(dumped)).unwrap();
        let words: Vec<_> = row.split_whitespace().collect();
        let expected = ["50000", "50000", "1.000", "%", "(10", "dropped)", "0.000", "%", "(0", "dropped)"];
        assert_eq!(words, expected);
        assert!(loss(0, "1000 0 0.02", "nothing", None).is_err());
    }
}
