//! NIST SP 800-190, application container security, as far as network communication goes.

use super::{Exercise, Requirement, Standard};

static STANDARD: Standard = Standard { id: "nist", name: "NIST SP 800-190", version: "September 2017" };

pub(super) static ROWS: &[Requirement] = &[
    Requirement {
        id: "nist:800-190-4.2.1",
        standard: &STANDARD,
        level: "",
        gist: "registries are reached over encrypted channels between trusted endpoints only",
        exercise: Exercise::Payload,
        bearing: "Cleartext and accepted invalid chains show; which host is a registry the traffic does not say.",
        instead: "Read the insecure-registry settings of the container runtime.",
    },
    Requirement {
        id: "nist:800-190-4.3.3",
        standard: &STANDARD,
        level: "",
        gist: "traffic between containers is separated into networks by sensitivity",
        exercise: Exercise::Endpoint,
        bearing: "Flows to far ends outside the policy's list cross a border.",
        instead: "Read the orchestrator's network policies.",
    },
    Requirement {
        id: "nist:800-190-4.3.5",
        standard: &STANDARD,
        level: "",
        gist: "nodes of a cluster authenticate one another and encrypt what they exchange",
        exercise: Exercise::ClientCertificate,
        bearing: "Client certificates are read or inferred where the policy expects mutual TLS.",
        instead: "Name the cluster's endpoints in the policy; read the orchestrator's node enrolment.",
    },
    Requirement {
        id: "nist:800-190-4.4.2",
        standard: &STANDARD,
        level: "",
        gist: "egress of containers is controlled, and unexpected flows are found",
        exercise: Exercise::Endpoint,
        bearing: "Far ends outside the policy's list show, per process.",
        instead: "List the allowed endpoints in the policy; read the egress rules.",
    },
];
