//! The words that outputs use for what the pipeline knows as types.

use std::fmt;
use std::net::IpAddr;

use crate::decode::{Transport, Tunnel};
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
            Transport::Icmp => "icmp",
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

/// A tunnel as `network.tunnel` names it.
#[must_use]
pub fn tunnel(tunnel: Tunnel) -> &'static str {
    match tunnel {
        Tunnel::Geneve => "geneve",
        Tunnel::Gre => "gre",
        Tunnel::GtpU => "gtp-u",
        Tunnel::IpInIp => "ip-in-ip",
        Tunnel::Mpls => "mpls",
        Tunnel::Pppoe => "pppoe",
        Tunnel::SixInFour => "6in4",
        Tunnel::Teredo => "teredo",
        Tunnel::Vxlan => "vxlan",
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

/// An AlertDescription as IANA's registry names it, e.g. `unknown_ca` (RFC 9846 §6, RFC 5246 §7.2, RFC 6101 §5.4).
#[must_use]
pub fn alert(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        52 => "too_many_cids_requested",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return None,
    })
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
        Dns => "dns",
        Certificate => "certificate",
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
