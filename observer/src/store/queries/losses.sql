-- What each run did not see: drops, skipped and malformed.
SELECT
    id AS run, status, frames, flows, dropped_kernel, dropped_ring, dropped_limit, unattributed_flows, unattributed_bytes,
    malformed, skipped
FROM runs
WHERE :run IS NULL OR id = :run
ORDER BY id;
