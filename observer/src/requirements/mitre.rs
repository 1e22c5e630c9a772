//! MITRE ATT&CK for Mobile: mitigation M1009 and the techniques that it addresses.

use super::{Exercise, Requirement, Standard};

static STANDARD: Standard =
    Standard { id: "mitre", name: "MITRE ATT&CK for Mobile, M1009", version: "mitigation 1.0" };

pub(super) static ROWS: &[Requirement] = &[
    Requirement {
        id: "mitre:M1009",
        standard: &STANDARD,
        level: "",
        gist: "apps encrypt all of their traffic with TLS, and messages themselves where wanted",
        exercise: Exercise::Payload,
        bearing: "Each flow is cleartext, encrypted, opaque or empty by its bytes.",
        instead: "Read the network security configuration (Android) or the ATS exceptions (iOS).",
    },
    Requirement {
        id: "mitre:T1466",
        standard: &STANDARD,
        level: "",
        gist: "a downgrade to an insecure protocol must not succeed",
        exercise: Exercise::Payload,
        bearing: "Old versions, weaker retries and cleartext after a failure show.",
        instead: "Force failures with a blocking network and watch what the app tries next.",
    },
    Requirement {
        id: "mitre:T1439",
        standard: &STANDARD,
        level: "",
        gist: "who listens to the network must not read what the app says",
        exercise: Exercise::Payload,
        bearing: "What is readable here is readable to everybody on the path.",
        instead: "Use all features of the app during the capture.",
    },
    Requirement {
        id: "mitre:T1449",
        standard: &STANDARD,
        level: "",
        gist: "calls and messages diverted by SS7 must not be readable",
        exercise: Exercise::None,
        bearing: "Signalling of the mobile network does not pass here.",
        instead: "Check that messages are encrypted end to end.",
    },
    Requirement {
        id: "mitre:T1463",
        standard: &STANDARD,
        level: "",
        gist: "who controls the path must not be able to alter what the app says and hears",
        exercise: Exercise::Chain,
        bearing: "Cleartext and accepted invalid chains let others alter the communication.",
        instead: "Repeat the run with an interception proxy.",
    },
    Requirement {
        id: "mitre:T1410",
        standard: &STANDARD,
        level: "",
        gist: "captured or redirected traffic must not give away its content",
        exercise: Exercise::Payload,
        bearing: "What is readable in this capture is readable in any.",
        instead: "Check for software on the device that reads before encryption.",
    },
    Requirement {
        id: "mitre:T1467",
        standard: &STANDARD,
        level: "",
        gist: "a rogue base station must not be able to read or alter the app's traffic",
        exercise: Exercise::Payload,
        bearing: "The radio does not show; protection above it does.",
        instead: "None is needed where the app protects its traffic by itself.",
    },
    Requirement {
        id: "mitre:T1465",
        standard: &STANDARD,
        level: "",
        gist: "a rogue Wi-Fi access point must not be able to read or alter the app's traffic",
        exercise: Exercise::Payload,
        bearing: "The access point does not show; protection above it does.",
        instead: "None is needed where the app protects its traffic by itself.",
    },
];
