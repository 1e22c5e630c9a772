-- Where a proxy was asked to lead.
CREATE TABLE proxies_v1 (
    flow     INTEGER PRIMARY KEY REFERENCES flows_v1 (id),
    protocol TEXT NOT NULL,
    host     TEXT NOT NULL,
    port     INTEGER NOT NULL,
    granted  INTEGER
) STRICT;

-- Steps towards TLS within protocols that begin without it.
CREATE TABLE upgrades_v1 (
    flow     INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame    INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    step     TEXT NOT NULL
) STRICT;

-- Credentials in the clear that are not HTTP's. The secrets are not kept.
CREATE TABLE logins_v1 (
    flow      INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame     INTEGER NOT NULL,
    protocol  TEXT NOT NULL,
    mechanism TEXT NOT NULL,
    exposure  TEXT NOT NULL
) STRICT;

-- Single values that protocols show.
CREATE TABLE properties_v1 (
    flow     INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame    INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL
) STRICT;
