-- Findings as they come while a run goes on, which its end replaces by those in findings_v1: there whom they are held
-- against is settled, exceptions are applied, and what compares flows is added. A run that was killed keeps them.
-- `number` counts within the run; a graver finding takes the place of the equal one, with a new id.
CREATE TABLE provisional_findings_v1 (
    id           INTEGER PRIMARY KEY,
    run          INTEGER NOT NULL REFERENCES runs_v1 (id),
    number       INTEGER NOT NULL,
    rule         TEXT NOT NULL,
    severity     TEXT NOT NULL,
    confidence   TEXT NOT NULL,
    requirements TEXT NOT NULL,
    owner        INTEGER REFERENCES owners_v1 (id),
    host         TEXT,
    ip           TEXT NOT NULL,
    port         INTEGER NOT NULL,
    message      TEXT NOT NULL,
    evidence     TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    flow         INTEGER NOT NULL REFERENCES flows_v1 (id),
    frames       TEXT NOT NULL,
    UNIQUE (run, number)
) STRICT;

-- The step of a flow is looked up by time.
CREATE INDEX markers_by_time_v1 ON markers_v1 (run, at);

-- The process that writes the run, as its system numbers it: tells a run that goes on from one that was killed.
ALTER TABLE runs_v1 ADD COLUMN pid INTEGER;
