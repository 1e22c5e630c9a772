//! From flows to verdicts: runs the rules, merges equal findings, and says for each app and requirement what holds.
//!
//! Flows are judged as they end; what compares flows waits for the end of the run. Then blame is settled (uid first),
//! the policy's exceptions are applied, and each app gets a verdict for every row of the catalogue. A verdict never
//! claims compliance: it says what was exercised.
//!
//! Everything that grows is bounded by [`Limits`], and what they drop is counted in [`Assessment::dropped_by_limit`].

pub mod baseline;
mod blame;
pub mod differential;
mod findings;
mod memory;
pub mod originals;
pub mod review;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::Digest as _;

use crate::decode::Endpoint;
use crate::observation::{Flow, Found, Mark};
use crate::policy::{KnownKeys, Policy, Severity, TlsPolicy};
use crate::protocol::tls::Certificate;
use crate::rules::{self, Blame, Device, EndpointName, Finding, RULES, RuleContext, facts};
use crate::time::Timestamp;
use crate::trust::{ChainStatus, TrustStore};

use self::baseline::{Baseline, Compared, Comparison, JudgedBy, Seen, Standing, Weight};
use self::findings::Findings;
use self::memory::Memory;

pub use self::verdict::{Judgement, Verdict};

/// Bounds of what is kept until the run is over.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Apps. Flows of further ones are judged one by one, without history and verdicts.
    pub apps: usize,
    /// Hosts of all apps together.
    pub endpoints: usize,
    /// Flows that are remembered of a host: the first ones.
    pub digests_per_endpoint: usize,
    /// Flows that are remembered in all.
    pub digests: usize,
    /// Findings that differ.
    pub findings: usize,
    /// Places of a finding beside the first.
    pub places_per_finding: usize,
    /// Chains whose validation is remembered; beyond it, they are validated again.
    pub chains: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            apps: 4096,
            endpoints: 65_536,
            digests_per_endpoint: 256,
            digests: 262_144,
            findings: 32_768,
            places_per_finding: 16,
            chains: 4096,
        }
    }
}

/// What was lost on the way to the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames that the capturing system lost.
    pub dropped_frames: u64,
    /// Frames that were read.
    pub frames: u64,
    /// Sockets whose owners the running system could not tell in time.
    pub lost_sockets: u64,
}

/// A finding that is not held against anybody.
#[derive(Clone, Debug)]
pub struct Suppressed {
    /// The finding.
    pub finding: Finding,
    /// Why: the exception's reason and its last day, or what it is instead.
    pub reason: String,
}

/// What all flows of a run amount to.
#[derive(Clone, Debug, Default)]
pub struct Assessment {
    /// Equal ones merged; in order of severity, app, endpoint, rule, place.
    pub findings: Vec<Finding>,
    /// Those that an exception or the platform's ways excuse, in the same order.
    pub suppressed: Vec<Suppressed>,
    /// For each app in scope and each requirement, in the order of the catalogue.
    pub verdicts: Vec<Verdict>,
    /// Why the run as a whole proves nothing, if so.
    pub inconclusive: Option<String>,
    /// What the tester ought to know of the policy: exceptions for unknown rules, apps without traffic.
    pub notes: Vec<String>,
    /// What a named limit dropped.
    pub dropped_by_limit: BTreeMap<String, u64>,
    /// When the flows began and ended that the findings name.
    pub flow_times: FlowTimes,
    /// What the run was judged by.
    pub judged_by: JudgedBy,
    /// What the findings are beside those of an earlier run, where there is one to hold them against.
    pub baseline: Option<Comparison>,
}

/// Flows by number, with the times of their first and last packets.
pub type FlowTimes = BTreeMap<u64, (Timestamp, Timestamp)>;

impl Assessment {
    /// Holds the findings against those of an earlier run.
    pub fn compare(&mut self, baseline: &Baseline) {
        let counting = self.findings.iter().map(|finding| (finding, Weight::of(finding.blame)));
        let excused = self.suppressed.iter().map(|suppressed| (&suppressed.finding, Weight::Excused));
        let findings: Vec<_> = counting
            .chain(excused)
            .map(|(finding, weight)| Seen {
                fingerprint: finding.fingerprint(),
                severity: finding.severity,
                weight,
            })
            .collect();
        let apps = self.verdicts.iter().filter_map(|verdict| Some(verdict.owner.as_ref()?.name())).collect();
        let run = Compared { apps, judged_by: Some(self.judged_by.clone()) };
        self.baseline = Some(baseline.compare(&findings, &run));
    }

    /// What a finding that counts is beside the baseline; `None` without one.
    #[must_use]
    pub fn standing(&self, finding: &Finding) -> Option<Standing> {
        self.baseline.as_ref()?.standing(&finding.fingerprint(), false)
    }

    /// The same for a finding that is excused.
    #[must_use]
    pub fn excused_standing(&self, finding: &Finding) -> Option<Standing> {
        self.baseline.as_ref()?.standing(&finding.fingerprint(), true)
    }

    /// The findings of [`Self::held_against_apps`] that the baseline does not know; all without one.
    pub fn weighing(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.held_against_apps(severity).filter(|finding| self.standing(finding) != Some(Standing::Known))
    }

    /// What the tester ought to know, of the comparison with the baseline, too.
    pub fn all_notes(&self) -> impl Iterator<Item = &String> {
        self.notes.iter().chain(self.baseline.iter().flat_map(|compared| &compared.notes))
    }

    /// The findings that count against an app in scope, or the capture as a whole, at `severity` or above.
    pub fn held_against_apps(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| {
            finding.severity >= severity && matches!(finding.blame, Blame::App | Blame::Capture)
        })
    }
}

/// Judges flows as they end.
pub struct Assessor {
    policy: Policy,
    tls: &'static TlsPolicy,
    trust: Arc<TrustStore>,
    limits: Limits,
    findings: Findings,
    memory: Memory,
    chains: BTreeMap<[u8; 32], Option<Arc<ChainStatus>>>,
    known_keys: Arc<KnownKeys>,
    /// The policy's exceptions, by place, that excused a finding or were over when they might have.
    used: BTreeSet<usize>,
    /// What is known of the device before the run is over.
    unknown: Device,
    last: Timestamp,
    /// Of the flows that findings name so far.
    flow_times: FlowTimes,
}

impl Assessor {
    /// An assessor that has seen nothing.
    #[must_use]
    pub fn new(
        policy: Policy,
        tls: &'static TlsPolicy,
        trust: Arc<TrustStore>,
        known_keys: Arc<KnownKeys>,
    ) -> Self {
        Self {
            policy,
            tls,
            trust,
            limits: Limits::default(),
            findings: Findings::default(),
            memory: Memory::default(),
            chains: BTreeMap::new(),
            known_keys,
            used: BTreeSet::new(),
            unknown: Device::default(),
            last: Timestamp(i64::MIN),
            flow_times: FlowTimes::new(),
        }
    }

    /// Takes a flow, in output order, and adds to `found` what is said for the first time, or graver than before: as
    /// many as [`Limits::findings`], each no more than once a severity. Returns the worst that a rule says of the flow by
    /// itself.
    pub fn flow(&mut self, flow: &Flow, found: &mut Vec<Found>) -> Option<Mark> {
        self.last = self.last.max(flow.flow.end);
        // Judged by what goes through it.
        if flow.flow.is_carrier() {
            return None;
        }
        let chain = self.chain(flow);
        let device = &self.unknown;
        let cx = RuleContext {
            policy: &self.policy,
            tls: self.tls,
            chain: chain.as_deref(),
            device,
            known_keys: &self.known_keys,
        };
        let mut worst: Option<(Severity, &'static str)> = None;
        let mut settled = false;
        for rule in RULES {
            rule.check_flow(flow, &cx, &mut |finding| {
                settled |= verdict::settles(&finding, &self.policy);
                if worst.is_none_or(|(severity, _)| severity < finding.severity) {
                    worst = Some((finding.severity, finding.rule.id));
                }
                let added = self.findings.add(finding, &self.limits);
                if added.keeps_place {
                    self.flow_times.insert(flow.id, (flow.flow.info.start, flow.flow.end));
                }
                found.extend(added.news.map(said));
            });
        }
        self.memory.remember(flow, settled, &cx, &self.limits);
        worst.map(|(severity, rule)| Mark { severity: severity.as_str(), rule })
    }

    /// Concludes.
    #[must_use]
    pub fn finish(mut self, losses: Losses) -> Assessment {
        let apps = self.memory.apps();
        let judge = blame::Judge::new(&self.policy, self.memory.owners());
        let device = Device::of(&apps, |app| judge.blame(app.owner.as_deref()) == Blame::Platform);
        let cx = RuleContext {
            policy: &self.policy,
            tls: self.tls,
            chain: None,
            device: &device,
            known_keys: &self.known_keys,
        };
        for app in &apps {
            // What is found below is found in these.
            let digests = app.endpoints.iter().flat_map(|endpoint| &endpoint.flows);
            self.flow_times.extend(digests.map(|digest| (digest.flow, (digest.start, digest.end))));
            for rule in RULES {
                for endpoint in &app.endpoints {
                    rule.check_endpoint(endpoint, &cx, &mut |finding| {
                        self.findings.add(finding, &self.limits);
                    });
                }
                rule.check_app(app, &cx, &mut |finding| {
                    self.findings.add(finding, &self.limits);
                });
            }
        }
        drop(apps);
        let mut assessment = Assessment::default();
        for mut finding in self.findings.take() {
            finding.owner = self.memory.owner(finding.owner.as_deref()).or(finding.owner);
            finding.blame = judge.blame(finding.owner.as_deref());
            self.place(finding, &mut assessment);
        }
        // Exceptions that are over add findings of their own.
        for mut finding in self.findings.take() {
            finding.blame = judge.blame(finding.owner.as_deref());
            assessment.findings.push(finding);
        }
        findings::sort(&mut assessment.findings);
        assessment.suppressed.sort_by(|a, b| findings::order(&a.finding, &b.finding));
        verdict::conclude(&self.policy, &self.memory, &judge, losses, &mut assessment);
        assessment.notes.extend(self.idle_exceptions());
        assessment.judged_by = JudgedBy {
            policy: self.policy.digest.clone(),
            tls_policy: format!("{} {}", self.tls.name, self.tls.version),
            test_ca: self.trust.has_test_authority(),
        };
        if !std::ptr::eq(self.tls, TlsPolicy::recommended()) {
            let TlsPolicy { title, version, date, .. } = self.tls;
            assessment.notes.push(format!("TLS is judged by {title}, version {version}, {date}"));
        }
        assessment.dropped_by_limit = self.memory.dropped();
        self.findings.dropped(&mut assessment.dropped_by_limit);
        let excused = assessment.suppressed.iter().map(|suppressed| &suppressed.finding);
        let named: BTreeSet<u64> = assessment
            .findings
            .iter()
            .chain(excused)
            .flat_map(|finding| finding.evidence.places().map(|(flow, _)| flow))
            .collect();
        self.flow_times.retain(|flow, _| named.contains(flow));
        assessment.flow_times = self.flow_times;
        assessment
    }

    /// Puts a finding where it belongs: among those that count, or those that are excused.
    fn place(&mut self, finding: Finding, assessment: &mut Assessment) {
        if finding.blame == Blame::Capture && finding.kind == facts::CONNECTIVITY_CHECK {
            let reason =
                "the platform's connectivity check, as far as a capture without owners tells".to_owned();
            assessment.suppressed.push(Suppressed { finding, reason });
            return;
        }
        let host = finding.endpoint.host_or_address();
        let excuse = self.policy.exception(finding.rule.id, finding.owner.as_deref(), &host, self.last);
        if let Some(exception) = excuse {
            let place = self.policy.exceptions.iter().position(|known| std::ptr::eq(known, exception));
            self.used.extend(place);
        }
        match excuse {
            Some(exception) if !exception.has_expired(self.last) => {
                let reason = format!("{} (until {})", exception.reason, exception.until);
                assessment.suppressed.push(Suppressed { finding, reason });
            }
            Some(exception) => {
                for rule in RULES {
                    rule.check_expired(&finding, exception, &mut |expired| {
                        self.findings.add(expired, &self.limits);
                    });
                }
                assessment.findings.push(finding);
            }
            None => assessment.findings.push(finding),
        }
    }

    /// The policy's exceptions that no finding of this run needs.
    fn idle_exceptions(&self) -> Vec<String> {
        let idle = self.policy.exceptions.iter().enumerate().filter(|(place, exception)| {
            !self.used.contains(place) && rules::find(&exception.rule).is_some()
        });
        idle.map(|(_, exception)| {
            let at = exception.host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default();
            let of = exception.app.as_ref().map(|app| format!(" of {app}")).unwrap_or_default();
            let end = if exception.has_expired(self.last) { "ended on" } else { "ends on" };
            format!(
                "the exception for {}{at}{of}, which {end} {}, excuses nothing in this capture",
                exception.rule, exception.until
            )
        })
        .collect()
    }

    /// What is known of the flow's server chain; validated once for each chain, name and day.
    fn chain(&mut self, flow: &Flow) -> Option<Arc<ChainStatus>> {
        const DAY: i64 = 86_400;
        let session = flow.tls.as_deref()?;
        let chain = session.server_chain.as_ref()?;
        let leaf = chain.value.first()?.parsed.as_ref()?;
        let host = session.server_name();
        let mut hash = sha2::Sha256::new();
        for certificate in chain.value.iter() {
            hash.update(certificate.sha256);
        }
        hash.update(chain.at.seconds().div_euclid(DAY).to_be_bytes());
        hash.update([u8::from(chain.at > leaf.not_after), u8::from(chain.at < leaf.not_before)]);
        hash.update(host.unwrap_or_default());
        let key = hash.finalize().into();
        if let Some(known) = self.chains.get(&key) {
            return known.clone();
        }
        if self.chains.len() >= self.limits.chains {
            self.chains.clear();
        }
        let certificates: &[Arc<Certificate>] = &chain.value;
        let status = self.trust.check(certificates, host, chain.at, self.tls).map(Arc::new);
        self.chains.insert(key, status.clone());
        status
    }
}

/// A finding in the words of the outputs, for those who do not wait for the end.
fn said((number, finding): (u64, &Finding)) -> Found {
    let endpoint = &finding.endpoint;
    Found {
        number,
        rule: finding.rule.id,
        severity: finding.severity.as_str(),
        confidence: finding.confidence.as_str(),
        requirements: finding.rule.requirements,
        host: endpoint.host.clone(),
        far_end: Endpoint { ip: endpoint.ip, port: endpoint.port },
        message: finding.message.clone(),
        details: finding.details.clone(),
        fingerprint: finding.fingerprint(),
        frames: finding.evidence.places().map(|(_flow, frame)| frame).collect(),
    }
}

/// Whose traffic it is, for grouping: the owner's name and uid; `None` is unattributed.
type AppKey = Option<(String, Option<u32>)>;

fn app_key(owner: Option<&crate::attribution::Owner>) -> AppKey {
    owner.map(|owner| (owner.name(), owner.uid))
}

/// With whom: the name, or the address where there is none.
fn host_key(endpoint: &EndpointName) -> (Option<String>, Option<std::net::IpAddr>) {
    match &endpoint.host {
        Some(host) => (Some(host.clone()), None),
        None => (None, Some(endpoint.ip)),
    }
}
