//! What the apps say of their flows, against what a capture says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::capture::Ended;

/// One end of a flow.
type End = (IpAddr, u16);

/// A flow as its app knows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Truth {
    pub(crate) case: String,
    pub(crate) uid: u32,
    pub(crate) pid: u32,
    transport: String,
    pub(crate) local: End,
    remote: End,
}

/// The ends of a flow in an order that does not depend on who began.
type Key = (String, End, End);

impl Truth {
    /// What a script of the lab said.
    pub(crate) fn parse(lines: &[String]) -> Vec<Self> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    fn key(&self) -> Key {
        (self.transport.clone(), self.local.min(self.remote), self.local.max(self.remote))
    }
}

fn key_of(flow: &Value) -> Option<Key> {
    let end = |side: &str| -> Option<End> {
        let ip = flow[side]["ip"].as_str()?.parse().ok()?;
        Some((ip, u16::try_from(flow[side]["port"].as_u64()?).ok()?))
    };
    let (source, destination) = (end("source")?, end("destination")?);
    Some((
        flow["network"]["transport"].as_str()?.to_owned(),
        source.min(destination),
        source.max(destination),
    ))
}

/// Each flow that an app made, with the record that a capture has of it.
pub(crate) struct Comparison<'a> {
    pub(crate) flows: Vec<(&'a Truth, Option<&'a Value>)>,
}

impl<'a> Comparison<'a> {
    /// Joins by the ends of flows; where ends were used again, by the order in time.
    pub(crate) fn new(truths: &'a [Truth], records: &'a [Value]) -> Self {
        let mut seen: BTreeMap<Key, Vec<&Value>> = BTreeMap::new();
        for flow in records.iter().filter(|record| record["type"] == "flow") {
            if let Some(key) = key_of(flow) {
                seen.entry(key).or_default().push(flow);
            }
        }
        for flows in seen.values_mut() {
            // The earliest is at the end, where it is taken from.
            flows.sort_by_key(|flow| std::cmp::Reverse(flow["frames"]["first"].as_u64()));
        }
        let flows =
            truths.iter().map(|truth| (truth, seen.get_mut(&truth.key()).and_then(Vec::pop))).collect();
        Self { flows }
    }

    /// How many flows have the owner that made them, and a line for each flow of which anything else is said.
    pub(crate) fn judge(&self) -> Judged {
        let mut judged = Judged::default();
        for (truth, record) in &self.flows {
            let line = |found: &str| format!("{}: uid {}, found {found}: {truth:?}\n", truth.case, truth.uid);
            match record.map(|record| record["owner"]["uid"].as_u64()) {
                Some(Some(uid)) if uid == u64::from(truth.uid) => judged.right += 1,
                Some(Some(uid)) => judged.wrong.push_str(&line(&uid.to_string())),
                Some(None) => judged.unattributed.push_str(&line("nobody")),
                None => judged.unseen.push_str(&line("no flow")),
            }
        }
        judged
    }

    /// The records of a case.
    pub(crate) fn of_case(&self, case: &str) -> Vec<&'a Value> {
        let records: Vec<_> = self
            .flows
            .iter()
            .filter(|(truth, _)| truth.case == case)
            .filter_map(|(_, record)| *record)
            .collect();
        assert!(!records.is_empty(), "no flow of case {case}");
        records
    }
}

/// Flows by what a capture knows of their owner: a number, then texts with a line a flow.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) right: usize,
    pub(crate) wrong: String,
    pub(crate) unattributed: String,
    pub(crate) unseen: String,
}

impl Judged {
    /// Every flow was seen, and has its owner.
    pub(crate) fn assert_all_right(&self, ended: &Ended) {
        let mut text = String::new();
        for (name, lines) in
            [("wrong", &self.wrong), ("unattributed", &self.unattributed), ("unseen", &self.unseen)]
        {
            if !lines.is_empty() {
                let _ = write!(text, "\n{name}:\n{lines}");
            }
        }
        let summary = ended.one("summary");
        assert!(text.is_empty(), "{} right, but{text}\n{summary}\n{}", self.right, ended.stderr);
        assert!(self.right > 0, "no flow at all");
    }
}

#[test]
fn a_wrong_a_missing_and_an_unknown_owner_are_told_apart() {
    let truth = |port: u16| Truth {
        case: "case".to_owned(),
        uid: 10_123,
        pid: 1,
        transport: "tcp".to_owned(),
        local: ("10.0.0.1".parse().unwrap(), port),
        remote: ("10.0.0.2".parse().unwrap(), 80),
    };
    let record = |port: u16, frame: u64, uid: Option<u32>| {
        serde_json::json!({
            "type": "flow",
            "frames": { "first": frame },
            "network": { "transport": "tcp" },
            "source": { "ip": "10.0.0.2", "port": 80 },
            "destination": { "ip": "10.0.0.1", "port": port },
            "owner": { "uid": uid },
        })
    };
    let truths = [truth(1), truth(2), truth(3), truth(4), truth(5), truth(5)];
    let records = [
        record(1, 1, Some(10_123)),
        record(2, 2, Some(10_124)),
        record(3, 3, None),
        // The later of two with the same ends comes first: it ended first.
        record(5, 9, Some(10_124)),
        record(5, 8, Some(10_123)),
    ];
    let judged = Comparison::new(&truths, &records).judge();
    assert_eq!(judged.right, 2);
    assert_eq!(judged.wrong.lines().count(), 2, "{judged:?}");
    assert_eq!(judged.unattributed.lines().count(), 1, "{judged:?}");
    assert_eq!(judged.unseen.lines().count(), 1, "{judged:?}");
}
