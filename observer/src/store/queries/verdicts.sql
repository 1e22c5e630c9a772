-- Verdicts of each app and requirement that traffic bears on.
SELECT
    coalesce(app, '(unattributed)') AS app, requirement, verdict, findings, exercised_endpoints AS endpoints,
    exercised_flows AS flows, reason
FROM verdicts
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND verdict NOT IN ('not_exercised', 'not_observable')
ORDER BY app, verdict DESC, requirement;
