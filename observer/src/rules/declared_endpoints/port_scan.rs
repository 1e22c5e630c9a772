//! Rule `port-scan`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::rules::{
    App, Attempt, Confidence, Digest, Endpoint, Finding, Rule, RuleContext, RuleInfo, Varying, declare_rule,
};
use crate::time::Timestamp;

declare_rule! {
    /// ## What it observes
    /// An app's TCP connections that were refused or not answered.
    /// ## Fails when
    /// Within the policy's `scan_seconds` (60 by default) there are `scan_targets` of them (16 by default) to different ports
    /// of one address, or to one port of different addresses that no name led to: the app looks for what is open.
    /// ## Blind spots
    /// Slower searches, searches over UDP, and searches in which most ports are open. Addresses that a name led to count for
    /// nothing across hosts: an app without a network fails at all of its servers. Beyond the number of flows that is
    /// remembered of a host nothing is counted. Peers of a peer-to-peer network that have left look alike where they
    /// share a port.
    /// ## References
    /// NIST SP 800-190 §4.4.2; [ATT&CK T1423](https://attack.mitre.org/techniques/T1423/)
    PortScan {
        id: "port-scan",
        summary: "search for open ports or hosts",
        severity: Medium,
        requirements: &["niap:FDP_NET_EXT.1.1", "nist:800-190-4.3.3", "nist:800-190-4.4.2"],
    }
}

impl Rule for PortScan {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let mut ports: BTreeMap<(IpAddr, IpAddr), Vec<Vain<'_, u16>>> = BTreeMap::new();
        let mut hosts: BTreeMap<(IpAddr, u16), Vec<Vain<'_, IpAddr>>> = BTreeMap::new();
        for endpoint in &app.endpoints {
            for digest in endpoint.flows.iter().filter(|digest| digest.attempt != Attempt::Taken) {
                let at = digest.start;
                ports.entry((digest.source, digest.ip)).or_default().push(Vain {
                    at,
                    target: digest.port,
                    endpoint,
                    digest,
                });
                if endpoint.host.is_none() {
                    hosts.entry((digest.source, digest.port)).or_default().push(Vain {
                        at,
                        target: digest.ip,
                        endpoint,
                        digest,
                    });
                }
            }
        }
        for ((_, ip), tried) in ports {
            if let Some(found) = Search::of(tried, cx) {
                let message =
                    format!("tries {} ports of {ip} in vain within {} s", found.targets, found.seconds);
                report(
                    found
                        .finding(self.info(), message)
                        .kind("ports")
                        .varying(Varying { address: false, port: true }),
                );
            }
        }
        for ((_, port), tried) in hosts {
            if let Some(found) = Search::of(tried, cx) {
                let message = format!(
                    "tries port {port} of {} addresses in vain within {} s",
                    found.targets, found.seconds
                );
                report(
                    found
                        .finding(self.info(), message)
                        .kind("hosts")
                        .varying(Varying { address: true, port: false }),
                );
            }
        }
    }
}

/// A connection that came to nothing.
struct Vain<'a, T> {
    at: Timestamp,
    target: T,
    endpoint: &'a Endpoint,
    digest: &'a Digest,
}

/// The first window of time with enough targets, and what follows it without a pause as long as the window.
struct Search<'a> {
    first: (&'a Endpoint, &'a Digest),
    related: Vec<(u64, u64)>,
    targets: usize,
    seconds: u64,
}

/// Further flows that a finding names.
const NAMED: usize = 8;

impl<'a> Search<'a> {
    fn of<T: Ord + Copy>(mut tried: Vec<Vain<'a, T>>, cx: &RuleContext<'_>) -> Option<Self> {
        let least = usize::try_from(cx.policy.thresholds.scan_targets.max(2)).ok()?;
        let window = std::time::Duration::from_secs(cx.policy.thresholds.scan_seconds.into());
        if tried.len() < least {
            return None;
        }
        tried.sort_by_key(|vain| (vain.at, vain.digest.flow));
        for (index, begin) in tried.iter().enumerate() {
            let within: Vec<&Vain<'a, T>> =
                tried.iter().skip(index).take_while(|vain| vain.at.since(begin.at) <= window).collect();
            let targets: BTreeSet<T> = within.iter().map(|vain| vain.target).collect();
            if targets.len() >= least {
                let last = within.last().map_or(begin.at, |vain| vain.at);
                let related = within.iter().skip(1).take(NAMED);
                return Some(Self {
                    first: (begin.endpoint, begin.digest),
                    related: related.map(|vain| (vain.digest.flow, vain.digest.first_frame)).collect(),
                    targets: targets.len(),
                    seconds: last.since(begin.at).as_secs().saturating_add(1),
                });
            }
        }
        None
    }

    fn finding(self, rule: &'static RuleInfo, message: String) -> Finding {
        let (endpoint, digest) = self.first;
        let mut finding = endpoint
            .finding(rule, digest, (digest.flow, digest.first_frame), message)
            .confidence(Confidence::Firm)
            .detail("targets", self.targets)
            .inferred("connections in vain");
        for place in self.related {
            finding = finding.also(place);
        }
        finding.flows = u64::try_from(self.targets).unwrap_or(u64::MAX);
        finding
    }
}
