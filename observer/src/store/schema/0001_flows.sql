-- Tables end in _v1: they may change with any version. What questions use are the views of the same names without it.
-- Times are nanoseconds since the Unix epoch, UTC. Lists and objects are JSON. Truth is 1 and 0; unknown is NULL.

CREATE TABLE runs_v1 (
    id                 INTEGER PRIMARY KEY,
    status             TEXT NOT NULL DEFAULT 'unfinished',
    tool_version       TEXT NOT NULL,
    schema             TEXT NOT NULL,
    started            INTEGER,
    finished           INTEGER,
    frames             INTEGER,
    flows              INTEGER NOT NULL DEFAULT 0,
    dropped_kernel     INTEGER,
    dropped_ring       INTEGER,
    dropped_limit      INTEGER,
    unattributed_flows INTEGER,
    unattributed_bytes INTEGER,
    malformed          TEXT,
    skipped            TEXT,
    limits             TEXT,
    duplicates         INTEGER
) STRICT;

-- What a run read.
CREATE TABLE captures_v1 (
    run        INTEGER NOT NULL REFERENCES runs_v1 (id),
    path       TEXT NOT NULL,
    format     TEXT NOT NULL,
    link_types TEXT NOT NULL,
    frames     INTEGER NOT NULL,
    first      INTEGER,
    last       INTEGER,
    truncated  INTEGER NOT NULL,
    dropped    INTEGER,
    damages    INTEGER NOT NULL,
    damage     TEXT NOT NULL
) STRICT;

-- Apps and processes, once each over all runs. `fields` holds all columns, to find the one that is meant.
CREATE TABLE owners_v1 (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    uid        INTEGER,
    user       TEXT,
    package    TEXT,
    packages   TEXT,
    label      TEXT,
    pid        INTEGER,
    process    TEXT,
    method     TEXT NOT NULL,
    confidence TEXT NOT NULL,
    fields     TEXT NOT NULL UNIQUE
) STRICT;

-- `number` counts within the run; `id` is unique over all runs and ascends with it.
CREATE TABLE flows_v1 (
    id                       INTEGER PRIMARY KEY,
    run                      INTEGER NOT NULL REFERENCES runs_v1 (id),
    number                   INTEGER NOT NULL,
    frames_first             INTEGER NOT NULL,
    frames_last              INTEGER NOT NULL,
    event_start              INTEGER NOT NULL,
    event_end                INTEGER NOT NULL,
    network_transport        TEXT NOT NULL,
    network_type             TEXT NOT NULL,
    network_community_id     TEXT NOT NULL,
    network_protocol         TEXT,
    network_layers           TEXT,
    network_protection       TEXT NOT NULL,
    network_tunnel           TEXT,
    source_ip                TEXT NOT NULL,
    source_port              INTEGER,
    source_packets           INTEGER NOT NULL,
    source_bytes             INTEGER NOT NULL,
    destination_ip           TEXT NOT NULL,
    destination_port         INTEGER,
    destination_packets      INTEGER NOT NULL,
    destination_bytes        INTEGER NOT NULL,
    destination_domain       TEXT,
    destination_domain_basis TEXT,
    tcp_state                TEXT,
    tcp_gaps                 INTEGER,
    tcp_retransmissions      INTEGER,
    owner                    INTEGER REFERENCES owners_v1 (id)
) STRICT;

-- Lists of what clients offer, once each over all runs.
CREATE TABLE lists_v1 (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE tls_v1 (
    flow                         INTEGER PRIMARY KEY REFERENCES flows_v1 (id),
    version_protocol             TEXT,
    version                      TEXT,
    cipher                       TEXT,
    curve                        TEXT,
    next_protocol                TEXT,
    established                  INTEGER NOT NULL,
    resumed                      INTEGER NOT NULL,
    client_hello_frame           INTEGER,
    client_server_name           TEXT,
    client_supported_versions    INTEGER REFERENCES lists_v1 (id),
    client_supported_ciphers     INTEGER REFERENCES lists_v1 (id),
    client_supported_protocols   INTEGER REFERENCES lists_v1 (id),
    client_supported_groups      INTEGER REFERENCES lists_v1 (id),
    client_signature_algorithms  INTEGER REFERENCES lists_v1 (id),
    client_ja3                   TEXT,
    client_ja4                   TEXT,
    client_ech                   TEXT,
    client_fallback_scsv         INTEGER,
    client_certificate           TEXT NOT NULL,
    client_certificate_basis     TEXT,
    server_hello_frame           INTEGER,
    server_certificate_requested INTEGER,
    server_ja3s                  TEXT,
    alerts                       TEXT
) STRICT;

-- Certificates, once each over all runs.
CREATE TABLE certificates_v1 (
    id                   INTEGER PRIMARY KEY,
    hash_sha256          TEXT NOT NULL UNIQUE,
    subject              TEXT,
    issuer               TEXT,
    serial               TEXT,
    not_before           INTEGER,
    not_after            INTEGER,
    san                  TEXT,
    spki_sha256          TEXT,
    public_key_algorithm TEXT,
    public_key_bits      INTEGER,
    public_key_curve     TEXT,
    signature_algorithm  TEXT,
    is_ca                INTEGER,
    self_issued          INTEGER,
    der                  BLOB NOT NULL
) STRICT;

-- Who showed which certificate; position 0 is the leaf.
CREATE TABLE flow_certificates_v1 (
    flow        INTEGER NOT NULL REFERENCES flows_v1 (id),
    role        TEXT NOT NULL,
    position    INTEGER NOT NULL,
    certificate INTEGER NOT NULL REFERENCES certificates_v1 (id),
    PRIMARY KEY (flow, role, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE http_v1 (
    flow             INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame            INTEGER NOT NULL,
    version          TEXT,
    method           TEXT,
    host             TEXT,
    path             TEXT,
    url_full         TEXT,
    status_code      INTEGER,
    response_frame   INTEGER,
    request_headers  TEXT,
    response_headers TEXT
) STRICT;

CREATE TABLE dns_v1 (
    flow           INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame          INTEGER NOT NULL,
    question_name  TEXT,
    question_type  TEXT,
    response_code  TEXT,
    response_frame INTEGER,
    answers        TEXT
) STRICT;

CREATE TABLE findings_v1 (
    id           INTEGER PRIMARY KEY,
    run          INTEGER NOT NULL REFERENCES runs_v1 (id),
    rule         TEXT NOT NULL,
    severity     TEXT NOT NULL,
    confidence   TEXT NOT NULL,
    requirements TEXT NOT NULL,
    owner        INTEGER REFERENCES owners_v1 (id),
    blame        TEXT NOT NULL,
    host         TEXT,
    ip           TEXT NOT NULL,
    port         INTEGER NOT NULL,
    message      TEXT NOT NULL,
    evidence     TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    -- Why it is not held against anybody: an exception's reason.
    suppressed   TEXT
) STRICT;

-- Where a finding was seen; position 0 is the place to look at first.
CREATE TABLE finding_frames_v1 (
    finding  INTEGER NOT NULL REFERENCES findings_v1 (id),
    position INTEGER NOT NULL,
    flow     INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame    INTEGER NOT NULL,
    PRIMARY KEY (finding, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdicts_v1 (
    run                 INTEGER NOT NULL REFERENCES runs_v1 (id),
    owner               INTEGER REFERENCES owners_v1 (id),
    requirement         TEXT NOT NULL,
    verdict             TEXT NOT NULL,
    findings            INTEGER NOT NULL,
    exercised_endpoints INTEGER NOT NULL,
    exercised_flows     INTEGER NOT NULL,
    exercised_bytes     INTEGER NOT NULL,
    reason              TEXT NOT NULL
) STRICT;

-- Points in time that the tester named: the steps of a test.
CREATE TABLE markers_v1 (
    run   INTEGER NOT NULL REFERENCES runs_v1 (id),
    at    INTEGER NOT NULL,
    label TEXT NOT NULL
) STRICT;

-- The packages of the device, by the uid that its first user has: what a later analysis names apps by.
CREATE TABLE packages_v1 (
    run     INTEGER NOT NULL REFERENCES runs_v1 (id),
    uid     INTEGER NOT NULL,
    package TEXT NOT NULL,
    label   TEXT NOT NULL
) STRICT;

-- Sockets that waited for connections while a capture ran: ports that processes are bound to.
CREATE TABLE listeners_v1 (
    run       INTEGER NOT NULL REFERENCES runs_v1 (id),
    transport TEXT NOT NULL,
    ip        TEXT NOT NULL,
    port      INTEGER NOT NULL,
    owner     INTEGER REFERENCES owners_v1 (id)
) STRICT;

-- What each witness said of a flow's owner, where several contradict one another.
CREATE TABLE owner_observations_v1 (
    flow     INTEGER NOT NULL REFERENCES flows_v1 (id),
    position INTEGER NOT NULL,
    method   TEXT NOT NULL,
    uid      INTEGER,
    pid      INTEGER,
    process  TEXT,
    label    TEXT,
    PRIMARY KEY (flow, position)
) STRICT, WITHOUT ROWID;
