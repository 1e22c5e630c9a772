-- Where most bytes were sent, the 50 largest.
SELECT
    coalesce(app, '(unattributed)') AS app, host, destination_port AS port, network_protection AS protection,
    sum(source_bytes) AS sent, sum(destination_bytes) AS received, count(*) AS flows
FROM flows
WHERE run = coalesce(:run, (SELECT max(id) FROM runs))
GROUP BY app, host, destination_port, network_protection
ORDER BY sent DESC, app, host
LIMIT 50;
