//! UK NCSC: guidance for application development.

use super::{Exercise, Requirement, Standard};

static STANDARD: Standard =
    Standard { id: "ncsc", name: "NCSC application development", version: "web collection" };

pub(super) static ROWS: &[Requirement] = &[
    Requirement {
        id: "ncsc:2.1.1",
        standard: &STANDARD,
        level: "",
        gist: "data in transit is encrypted, preferably with TLS, strong ciphers and pinning; attacks are refused and shown",
        exercise: Exercise::Payload,
        bearing: "Protection, versions, suites and accepted invalid chains show on the wire; warnings to the user do not.",
        instead: "Offer a wrong certificate and see what the app tells the user.",
    },
    Requirement {
        id: "ncsc:2.1.2",
        standard: &STANDARD,
        level: "",
        gist: "Android: sensitive traffic is mutually authenticated and pinned, keys lie in the KeyStore",
        exercise: Exercise::Payload,
        bearing: "Cleartext, accepted invalid chains, pins and client certificates of the policy's hosts show; the KeyStore does not.",
        instead: "Check where the client's private key is made and kept.",
    },
    Requirement {
        id: "ncsc:2.1.3",
        standard: &STANDARD,
        level: "",
        gist: "Android: each request to internal services is authenticated, and traffic passes the enterprise's gateway",
        exercise: Exercise::Endpoint,
        bearing: "Far ends outside the policy's list show traffic that bypasses the gateway; authentication inside TLS does not show.",
        instead: "List the gateways in the policy's endpoints; test the reverse proxy without credentials.",
    },
    Requirement {
        id: "ncsc:2.1.4",
        standard: &STANDARD,
        level: "",
        gist: "iOS: each request to internal services is authenticated, and traffic passes the enterprise's gateway",
        exercise: Exercise::Endpoint,
        bearing: "Far ends outside the policy's list show traffic that bypasses the gateway.",
        instead: "List the gateways in the policy's endpoints; test the reverse proxy without credentials.",
    },
    Requirement {
        id: "ncsc:2.1.5",
        standard: &STANDARD,
        level: "",
        gist: "Windows: internal services stand behind an authenticating reverse proxy that a VPN leads to",
        exercise: Exercise::Endpoint,
        bearing: "Far ends outside the policy's list show traffic that bypasses the gateway.",
        instead: "List the gateways in the policy's endpoints; test the reverse proxy without credentials.",
    },
    Requirement {
        id: "ncsc:2.1.6",
        standard: &STANDARD,
        level: "",
        gist: "Windows: TLS to the organisation's services is pinned, WebSockets use wss, HTTP goes through Web.Http",
        exercise: Exercise::Payload,
        bearing: "ws in place of wss shows, and so do keys that differ from the policy's pins; the API does not.",
        instead: "Look for the HTTP API in the code.",
    },
    Requirement {
        id: "ncsc:2.1.7",
        standard: &STANDARD,
        level: "",
        gist: "Windows: little is stored on the device, data comes over secure connections, users authenticate again",
        exercise: Exercise::Payload,
        bearing: "The security of the connections shows; storage and screen locks do not.",
        instead: "Inspect the app's storage and its behaviour on return to the foreground.",
    },
];
