//! Rule `server-key-changed`.

use data_encoding::HEXLOWER;

use crate::observation::Flow;
use crate::rules::{Finding, Rule, RuleContext, RuleInfo, declare_rule, facts};

declare_rule! {
    /// ## What it observes
    /// The keys of server certificates that can be read, and those that earlier runs in the same database (`--db`) saw of
    /// the same host.
    /// ## Fails when
    /// An earlier run knows the host, and none saw this key. It is information for the review: servers change keys, an
    /// interception changes them, too, and an app that pins has to know beforehand.
    /// ## Blind spots
    /// TLS 1.3 encrypts the certificate. A host with several certificates (for RSA and for elliptic curves, or one for
    /// each of its servers) shows a new one now and then. Whether the rotation of keys is planned traffic cannot show.
    /// What stays on the device is not judged.
    /// ## References
    /// [RFC 7469 §2.4, §4.3](https://datatracker.ietf.org/doc/html/rfc7469#section-4.3)
    ServerKeyChanged {
        id: "server-key-changed",
        summary: "server key that no earlier run saw",
        severity: Info,
        requirements: &["cl-mss:5.8"],
    }
}

impl Rule for ServerKeyChanged {
    fn info(&self) -> &'static RuleInfo {
        const { &Self::INFO }
    }

    fn check_flow(&self, flow: &Flow, cx: &RuleContext<'_>, report: &mut dyn FnMut(Finding)) {
        let Some(session) = facts::session(flow) else { return };
        let Some(host) = session.server_name() else { return };
        let Some(chain) = &session.server_chain else { return };
        let Some(leaf) = chain.value.first().and_then(|leaf| leaf.parsed.as_ref()) else { return };
        let known = cx.known_keys.of(host);
        let Some((last, at)) = known.iter().max_by_key(|(key, at)| (*at, *key)) else { return };
        if known.iter().any(|(key, _)| *key == leaf.spki_sha256) {
            return;
        }
        let key = HEXLOWER.encode(&leaf.spki_sha256);
        let day = jiff::Timestamp::from_second(at.seconds());
        let day = day.map_or_else(|_| "earlier".to_owned(), |time| time.strftime("on %Y-%m-%d").to_string());
        let message = format!("{host} has a key that no earlier run saw; another one was seen {day}");
        report(
            Finding::new(self.info(), flow, chain.frame, message)
                .kind(key.as_str())
                .detail("spki_sha256", key)
                .detail("known_spki_sha256", HEXLOWER.encode(last))
                .detail("known_keys", known.len()),
        );
    }
}
