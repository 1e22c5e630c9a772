-- Verdicts of each app on CL MSS, with their reasons.
-- Another standard: `-p standard=asvs`, for one; all of them: `-p standard=%`.
SELECT
    coalesce(app, '(unattributed)') AS app, requirement, verdict, findings, exercised_endpoints AS endpoints,
    exercised_flows AS flows, reason
FROM verdicts
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND requirement LIKE coalesce(:standard, 'cl-mss') || ':%'
ORDER BY app, requirement;
