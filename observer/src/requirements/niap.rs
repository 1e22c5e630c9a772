//! NIAP: requirements for vetting mobile apps from the Protection Profile for Application Software.
//!
//! Some collections print the text of one component under the number of the next; the rows follow the profile itself.

use super::{Exercise, Requirement, Standard};

static STANDARD: Standard = Standard {
    id: "niap",
    name: "NIAP requirements for vetting mobile apps (PP Application Software)",
    version: "1.2",
};

pub(super) static ROWS: &[Requirement] = &[
    Requirement {
        id: "niap:FDP_NET_EXT.1.1",
        standard: &STANDARD,
        level: "",
        gist: "network communication is restricted to what is declared or what the user begins",
        exercise: Exercise::Endpoint,
        bearing: "Every far end shows; whether it was declared the policy's list of endpoints says.",
        instead: "List the declared endpoints in the policy.",
    },
    Requirement {
        id: "niap:FMT_SMF.1.1",
        standard: &STANDARD,
        level: "",
        gist: "the app offers switches for what it sends about system, person, state and backups",
        exercise: Exercise::None,
        bearing: "A switch is a function of the app; captures with it on and off can be compared.",
        instead: "Capture with each switch on and off, and compare the far ends.",
    },
    Requirement {
        id: "niap:FTP_DIT_EXT.1.1",
        standard: &STANDARD,
        level: "",
        gist: "transmitted data, or all that is sensitive in it, is protected with HTTPS, TLS, DTLS or SSH",
        exercise: Exercise::Payload,
        bearing: "Each flow is cleartext, encrypted, opaque or empty by its bytes; sensitivity shows only in cleartext.",
        instead: "Say in the security target which data are sensitive.",
    },
    Requirement {
        id: "niap:FCS_HTTPS_EXT.1.1",
        standard: &STANDARD,
        level: "",
        gist: "HTTPS is implemented as RFC 2818 (now RFC 9110) describes it",
        exercise: Exercise::Chain,
        bearing: "The server's identity is compared with the name that was asked for, where the chain is readable.",
        instead: "Offer a certificate with another name.",
    },
    Requirement {
        id: "niap:FCS_HTTPS_EXT.1.3",
        standard: &STANDARD,
        level: "",
        gist: "an invalid certificate leads to a notice and to the selected reaction",
        exercise: Exercise::Chain,
        bearing: "Whether the client went on shows, where the chain is readable; the notice to the user does not.",
        instead: "Offer invalid certificates and look at the screen.",
    },
];
