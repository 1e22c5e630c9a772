//! Rule `weaker-than-platform`.

use crate::policy::CipherWeakness;
use crate::rules::device::offers;
use crate::rules::{App, Confidence, EndpointName, Finding, Rule, RuleContext, RuleInfo, declare_rule};

declare_rule! {
    /// ## What it observes
    /// The ClientHellos of an app, and those of the platform's own clients on the same device in the same run: system
    /// uids, which use the platform's stack as it comes.
    /// ## Fails when
    /// The app offers no version as high as the platform does, or suites with a weakness (by the chosen recommendation)
    /// that no client of the platform offers: it brings an older stack, or has weakened the platform's.
    /// ## Blind spots
    /// Runs without owners, or in which the platform opens no TLS connection. An app may speak to a server with settings of
    /// its own for a reason that traffic does not show. Retries that say so (`TLS_FALLBACK_SCSV`) are not compared.
    /// ## References
    /// [RFC 9325 §3.1.1](https://datatracker.ietf.org/doc/html/rfc9325#section-3.1.1),
    /// [CWE-327](https://cwe.mitre.org/data/definitions/327.html)
    WeakerThanPlatform {
        id: "weaker-than-platform",
        summary: "offers less than the device's own TLS stack",
        severity: Low,
        requirements: &["cl-mss:5.2", "ncsc:2.1.1", "cwe:327"],
    }
}

impl Rule for WeakerThanPlatform {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_app(&self, app: &App, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(platform) = &cx.device.platform else { return };
        let hosts = app.endpoints.iter().flat_map(|endpoint| {
            endpoint.flows.iter().map(move |digest| (digest.flow, endpoint.host.as_ref()))
        });
        let hosts: std::collections::HashMap<_, _> = hosts.collect();
        for (digest, session) in offers(app) {
            let host = hosts.get(&digest.flow).copied().flatten().cloned();
            let endpoint = EndpointName { host, ip: digest.ip, port: digest.port };
            let finding = |message: String| {
                Finding::at(
                    self.info(),
                    app.owner.clone(),
                    endpoint.clone(),
                    (digest.flow, session.hello),
                    message,
                )
                .confidence(Confidence::Firm)
                .also(platform.place)
                .detail("platform", platform.name.as_str())
            };
            if let Some(version) = session.offered.filter(|version| *version < platform.version) {
                let message = format!(
                    "offers TLS {version} at most; the platform ({}) offers TLS {}",
                    platform.name, platform.version
                );
                report(finding(message).kind("version"));
            }
            let more = |weakness: &CipherWeakness| {
                let graded = cx.tls.ciphers.get(weakness).is_some_and(|grade| grade.offered.is_some());
                graded && session.weak.contains(*weakness) && !platform.weak.contains(*weakness)
            };
            let more: Vec<&str> = CipherWeakness::ALL
                .iter()
                .filter(|weakness| more(weakness))
                .map(|weakness| weakness.describe())
                .collect();
            if !more.is_empty() {
                let message = format!(
                    "offers suites that the platform ({}) does not: {}",
                    platform.name,
                    more.join("; ")
                );
                report(finding(message).kind("suites").detail("weaknesses", more));
            }
        }
    }
}
