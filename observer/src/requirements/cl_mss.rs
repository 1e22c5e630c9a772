//! CL MSS section 5, network communication.

use super::{Exercise, Requirement, Standard};

static STANDARD: Standard =
    Standard { id: "cl-mss", name: "CL MSS", version: "section 5, network communication" };

pub(super) static ROWS: &[Requirement] = &[
    Requirement {
        id: "cl-mss:5.1",
        standard: &STANDARD,
        level: "L1",
        gist: "every endpoint that the app uses is reached over TLS",
        exercise: Exercise::Payload,
        bearing: "Each flow is cleartext, encrypted, opaque or empty by its bytes. Cleartext breaks it.",
        instead: "Use all features of the app during the capture; look for URLs in the code that were not reached.",
    },
    Requirement {
        id: "cl-mss:5.2",
        standard: &STANDARD,
        level: "L1",
        gist: "TLS settings follow current best practice as far as the platform allows",
        exercise: Exercise::Handshake,
        bearing: "ClientHello and ServerHello are readable: versions, suites, groups, signatures, extensions.",
        instead: "Probe the servers with a scanner for what they accept from other clients.",
    },
    Requirement {
        id: "cl-mss:5.3",
        standard: &STANDARD,
        level: "L1",
        gist: "the backend sends the appropriate HTTP security headers",
        exercise: Exercise::Response,
        bearing: "Headers show in responses that can be read: in the clear, or inside TLS with the tester's keys.",
        instead: "Ask the backend directly, or read the responses through an interception proxy.",
    },
    Requirement {
        id: "cl-mss:5.4",
        standard: &STANDARD,
        level: "L1",
        gist: "TLS is used everywhere in the app and is not switched off for any domain",
        exercise: Exercise::Payload,
        bearing: "The app's flows to one host are compared: TLS and cleartext, failure and fallback, redirects.",
        instead: "Read the network security configuration (Android) or the ATS exceptions (iOS) of the package.",
    },
    Requirement {
        id: "cl-mss:5.5",
        standard: &STANDARD,
        level: "L1",
        gist: "the server's X.509 certificate is verified and only those of trusted authorities are accepted",
        exercise: Exercise::Chain,
        bearing: "Up to TLS 1.2 the chain is readable: an invalid one and application data after it break this. TLS 1.3 hides the chain.",
        instead: "Repeat the run with an interception proxy whose authority the device does not trust: flows that complete break it.",
    },
    Requirement {
        id: "cl-mss:5.6",
        standard: &STANDARD,
        level: "L1",
        gist: "the loss of the network is handled without losing protection",
        exercise: Exercise::Loss,
        bearing: "That the device was offline traffic does not say; attempts at TLS that came to nothing show, and what followed them.",
        instead: "Cut the network during the test and compare the flows before and after; read error screens and logs.",
    },
    Requirement {
        id: "cl-mss:5.7",
        standard: &STANDARD,
        level: "L2",
        gist: "the app has its own trust store or pins the server's certificate or key, and refuses others",
        exercise: Exercise::Pin,
        bearing: "A readable chain is compared with the pins of the policy, and with the tester's authority (--test-ca): who takes that pins nothing.",
        instead: "Repeat the run with an interception proxy whose authority the device trusts: flows that complete are not pinned.",
    },
    Requirement {
        id: "cl-mss:5.8",
        standard: &STANDARD,
        level: "L2",
        gist: "where pins are used, the rotation of certificates and keys is defined and built into the app",
        exercise: Exercise::None,
        bearing: "It asks for a process. A key that no earlier run in the database saw is told, as a hint.",
        instead: "Ask for the rotation plan, and look for backup pins and their expiry in the package.",
    },
    Requirement {
        id: "cl-mss:5.9",
        standard: &STANDARD,
        level: "L2",
        gist: "client and server identify each other with mutual TLS before they talk",
        exercise: Exercise::ClientCertificate,
        bearing: "Up to TLS 1.2 the request for a client certificate and the answer are readable; in TLS 1.3 the lengths of the records tell.",
        instead: "Name the endpoints that need mutual TLS in the policy; check that the server refuses clients without a certificate.",
    },
];
