-- What a marker is: `kind` is point, begin, end, run-started or run-finished; `result` is of an end. NULL is a plain point of
-- `observer mark`, as all were.
ALTER TABLE markers_v1 ADD COLUMN kind TEXT;
ALTER TABLE markers_v1 ADD COLUMN origin TEXT;
ALTER TABLE markers_v1 ADD COLUMN result TEXT;

-- What the markers of a finished run amount to. `number` counts within the run; `id` is unique over all runs.
CREATE TABLE steps_v1 (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL REFERENCES runs_v1 (id),
    number INTEGER NOT NULL,
    name   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    origin TEXT NOT NULL,
    start  INTEGER NOT NULL,
    -- NULL goes on to the end of the capture.
    "end"  INTEGER,
    result TEXT,
    basis  TEXT NOT NULL
) STRICT;

-- For every flow it is asked which steps began while it went on.
CREATE INDEX steps_in_time ON steps_v1 (run, start);

-- In which step a flow begins from `at` on, until the next row of the run; a NULL step is background.
CREATE TABLE step_changes_v1 (
    run   INTEGER NOT NULL REFERENCES runs_v1 (id),
    at    INTEGER NOT NULL,
    step  INTEGER REFERENCES steps_v1 (id),
    began TEXT NOT NULL,
    PRIMARY KEY (run, at)
) STRICT, WITHOUT ROWID;

-- Markers of earlier versions are labels: each lasts until the next.
INSERT INTO steps_v1 (run, number, name, kind, origin, start, "end", result, basis)
SELECT
    run,
    row_number() OVER (PARTITION BY run ORDER BY at, rowid),
    label, 'label', 'mark', at,
    lead(at) OVER (PARTITION BY run ORDER BY at, rowid),
    NULL, 'observed'
FROM markers_v1;

INSERT OR REPLACE INTO step_changes_v1 (run, at, step, began)
SELECT run, start, id, 'inside' FROM steps_v1 ORDER BY id;

INSERT OR IGNORE INTO step_changes_v1 (run, at, step, began)
SELECT DISTINCT run, -9223372036854775807 - 1, NULL, 'background' FROM steps_v1;

-- What was added to the times of another machine's clock, and by how much that may be wrong; NULL where nothing was measured.
ALTER TABLE runs_v1 ADD COLUMN clock_offset_ns INTEGER;
ALTER TABLE runs_v1 ADD COLUMN clock_error_ns INTEGER;
