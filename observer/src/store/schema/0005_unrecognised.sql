-- What the bytes look like that no protocol claims.
CREATE TABLE unrecognised_v1 (
    flow           INTEGER NOT NULL REFERENCES flows_v1 (id),
    frame          INTEGER NOT NULL,
    likeness       TEXT NOT NULL,
    kind           TEXT,
    evidence_items INTEGER,
    evidence_bits  INTEGER,
    sampled        INTEGER NOT NULL,
    printable      REAL NOT NULL,
    entropy        REAL NOT NULL
) STRICT;
