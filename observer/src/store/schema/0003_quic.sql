-- What QUIC shows beside its handshake, which is in tls_v1.
CREATE TABLE quic_v1 (
    flow            INTEGER PRIMARY KEY REFERENCES flows_v1 (id),
    version         TEXT,
    first_version   TEXT,
    server_versions TEXT,
    retry           INTEGER NOT NULL,
    token           INTEGER NOT NULL,
    zero_rtt        INTEGER NOT NULL,
    close           TEXT,
    server_name     TEXT,
    user_agent      TEXT
) STRICT;
