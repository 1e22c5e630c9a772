-- What a run was judged by, and the run whose findings its own were held against (JSON objects).
ALTER TABLE runs_v1 ADD COLUMN judged_by TEXT;
ALTER TABLE runs_v1 ADD COLUMN baseline TEXT;

-- What a finding is beside those of the baseline: known, worse or new. Without a baseline there are none.
CREATE TABLE finding_baselines_v1 (
    finding  INTEGER PRIMARY KEY REFERENCES findings_v1 (id),
    standing TEXT NOT NULL
) STRICT;
