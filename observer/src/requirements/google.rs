//! Google: core app quality, and the security best practices for Android.

use super::{Exercise, Requirement, Standard};

static STANDARD: Standard = Standard {
    id: "google",
    name: "Google core app quality and app security best practices",
    version: "developer.android.com",
};

pub(super) static ROWS: &[Requirement] = &[
    Requirement {
        id: "google:SC-N2",
        standard: &STANDARD,
        level: "",
        gist: "the app declares a network security configuration",
        exercise: Exercise::None,
        bearing: "The declaration lies in the package. Cleartext from an app for API 28 and above shows that it is absent, permissive or bypassed.",
        instead: "Read res/xml/network_security_config.xml and the manifest.",
    },
    Requirement {
        id: "google:SC-N3",
        standard: &STANDARD,
        level: "",
        gist: "an app with Google Play services initialises the security provider at start",
        exercise: Exercise::None,
        bearing: "The provider's ClientHello is the platform's own on current devices; the call does not show.",
        instead: "Look for ProviderInstaller in the start-up code.",
    },
    Requirement {
        id: "google:enforce-secure-communication",
        standard: &STANDARD,
        level: "",
        gist: "data that is exchanged with other apps and with websites is safeguarded",
        exercise: Exercise::Payload,
        bearing: "Flows to other devices are judged; exchange between apps on the device is not.",
        instead: "Review intents and content providers.",
    },
    Requirement {
        id: "google:intents-and-providers",
        standard: &STANDARD,
        level: "",
        gist: "app choosers, signature permissions and closed content providers protect exchange between apps",
        exercise: Exercise::None,
        bearing: "Intents and content providers leave no packets.",
        instead: "Read the manifest's exported components and permissions.",
    },
    Requirement {
        id: "google:network-security-measures",
        standard: &STANDARD,
        level: "",
        gist: "web servers are reached over TLS, cleartext is disabled, and own trust managers do not accept everything",
        exercise: Exercise::Payload,
        bearing: "Cleartext and accepted invalid chains show on the wire; the configuration itself does not.",
        instead: "Read the network security configuration and every X509TrustManager of the package.",
    },
];
