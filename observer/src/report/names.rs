//! The words that outputs use for what the pipeline knows as types.

use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;

use crate::decode::Transport;
use crate::flow::TcpState;
use crate::observation::Flow;
use crate::protocol::tls::TlsVersion;

/// A transport as outputs name it: `tcp`, `udp`, `icmp`, IANA's keyword in lower case, or `protocol 253`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportName(pub Transport);

impl fmt::Display for TransportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Icmp | Transport::IcmpEcho => "icmp",
            Transport::Other(2) => "igmp",
            Transport::Other(4) => "ipv4",
            Transport::Other(33) => "dccp",
            Transport::Other(41) => "ipv6",
            Transport::Other(46) => "rsvp",
            Transport::Other(47) => "gre",
            Transport::Other(50) => "esp",
            Transport::Other(51) => "ah",
            Transport::Other(88) => "eigrp",
            Transport::Other(89) => "ospf",
            Transport::Other(103) => "pim",
            Transport::Other(112) => "vrrp",
            Transport::Other(115) => "l2tp",
            Transport::Other(132) => "sctp",
            Transport::Other(136) => "udplite",
            Transport::Other(number) => return write!(f, "protocol {number}"),
        })
    }
}

/// A TCP flow's state as `tcp.state` names it.
#[must_use]
pub fn tcp_state(state: TcpState) -> &'static str {
    match state {
        TcpState::Closed => "closed",
        TcpState::Established => "established",
        TcpState::HalfOpen => "half_open",
        TcpState::Midstream => "midstream",
        TcpState::Reset => "reset",
    }
}

/// A flow's protocols, outermost first; `unknown` alone for payload that no protocol claims, nothing without payload.
#[must_use]
pub fn layers(flow: &Flow) -> &[&'static str] {
    let payload = flow.flow.counts.iter().any(|counts| counts.payload > 0);
    if flow.layers.is_empty() && payload { &["unknown"] } else { &flow.layers }
}

/// A TLS version as outputs name it: as it prints, with the draft where it is one of TLS 1.3's (`1.3-draft28`,
/// Facebook's `1.3-fb26`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionName(pub TlsVersion);

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.draft(), self.0.0 >> 8) {
            (Some(draft), 0xfb) => write!(f, "{}-fb{draft}", self.0),
            (Some(draft), _) => write!(f, "{}-draft{draft}", self.0),
            (None, _) => self.0.fmt(f),
        }
    }
}

/// An address's family as `network.type` names it.
#[must_use]
pub fn network(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}

/// An address in its text form (RFC 5952 for IPv6).
#[must_use]
pub fn address(address: IpAddr) -> String {
    let mut text = Vec::with_capacity(15);
    push_address(&mut text, address);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends an address in its text form. Every record has two, and several times faster than by `Display`.
pub fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    let v4 = match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => {
            // Writing to memory does not fail.
            let _ = write!(text, "{v6}");
            return;
        }
    };
    for (place, octet) in v4.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

/// Gives a function from a type to the words that its JSON form has, for the outputs that are not JSON.
macro_rules! words {
    ($($(#[$doc:meta])* $function:ident: $type:path { $($variant:ident => $word:literal),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $function(value: $type) -> &'static str {
                use $type as Words;
                match value {
                    $(Words::$variant => $word,)*
                }
            }
        )*

        #[cfg(test)]
        mod words {
            $(
                #[test]
                fn $function() {
                    use $type as Words;
                    for (value, word) in [$((Words::$variant, $word)),*] {
                        assert_eq!(serde_json::to_value(value).unwrap(), word);
                    }
                }
            )*
        }
    };
}

words! {
    /// A flow's protection as `network.protection` names it.
    protection: crate::observation::Protection {
        Encrypted => "encrypted",
        Cleartext => "cleartext",
        Opportunistic => "opportunistic",
        Opaque => "opaque",
        Empty => "empty",
    }
    /// A host name's origin as `destination.domain_basis` names it.
    domain_basis: crate::observation::DomainBasis {
        Sni => "sni",
        HttpHost => "http_host",
        Proxy => "proxy",
        Dns => "dns",
        Certificate => "certificate",
        QuicConnection => "quic_connection",
    }
    /// A step towards TLS as `upgrades.step` names it.
    upgrade_step: crate::protocol::upgrade::Step {
        Offered => "offered",
        NotOffered => "not_offered",
        Requested => "requested",
        Accepted => "accepted",
        Refused => "refused",
    }
    /// What a login shows as `logins.exposure` names it.
    exposure: crate::protocol::login::Exposure {
        Identity => "identity",
        Response => "response",
        Secret => "secret",
    }
    /// What unrecognised bytes look like as `unrecognised.likeness` names it.
    likeness: crate::protocol::unrecognised::Likeness {
        Text => "text",
        Serialised => "serialised",
        Compressed => "compressed",
        Media => "media",
        Opaque => "opaque",
    }
    /// An owner's origin as `owner.method` names it.
    method: crate::attribution::Method {
        Ebpf => "ebpf",
        Recorded => "recorded",
        SockDiag => "sock_diag",
        Procfs => "procfs",
    }
    /// An owner's certainty as `owner.confidence` names it.
    confidence: crate::attribution::Confidence {
        Exact => "exact",
        Polled => "polled",
        Inferred => "inferred",
    }
    /// The client certificate's state as `tls.client.certificate` names it.
    client_certificate: crate::protocol::tls::ClientCertificate {
        Sent => "sent",
        Declined => "declined",
        NotSent => "not_sent",
        NotRequested => "not_requested",
        ResumedUnknown => "resumed_unknown",
        Unknown => "unknown",
    }
    /// What Encrypted Client Hello is, as `tls.client.ech` names it.
    ech: crate::protocol::tls::Ech {
        Absent => "absent",
        Grease => "grease",
        Unknown => "unknown",
        Offered => "offered",
        Accepted => "accepted",
    }
    /// How sure a conclusion is, as `tls.client.certificate_confidence` names it.
    certainty: crate::protocol::tls::Certainty {
        Tentative => "tentative",
        Firm => "firm",
        Certain => "certain",
    }
    /// The shape of a refusal as `tls.client.rejected_server.shape` and `tls.server.rejected_client.shape` name it.
    shape: crate::protocol::tls::Shape {
        PlaintextAlert => "plaintext_alert",
        EncryptedAlert => "encrypted_alert",
        Silence => "silence",
        AfterHandshake => "after_handshake",
    }
    /// A severity as `rule.severity` names it.
    severity: crate::rules::Severity {
        Info => "info",
        Low => "low",
        Medium => "medium",
        High => "high",
        Critical => "critical",
    }
    /// A finding's certainty as `rule.confidence` names it.
    finding_confidence: crate::rules::Confidence {
        Tentative => "tentative",
        Firm => "firm",
        Certain => "certain",
    }
    /// Whom a finding is held against, as `blame` names it.
    blame: crate::rules::Blame {
        App => "app",
        Capture => "capture",
        Platform => "platform",
        OutOfScope => "out_of_scope",
        Unattributed => "unattributed",
    }
    /// A conclusion as `verdict` names it.
    judgement: crate::assess::Judgement {
        Violated => "violated",
        NoViolationObserved => "no_violation_observed",
        NotExercised => "not_exercised",
        NotObservable => "not_observable",
        Inconclusive => "inconclusive",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_displays() {
        for octet in 0..=255 {
            let v4 = IpAddr::from([octet, 9, 255 - octet, 100]);
            assert_eq!(address(v4), v4.to_string());
        }
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(address(v6), "2001:db8::1");
    }
}
