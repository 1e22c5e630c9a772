-- Apps: what they sent to how many hosts, how much readable.
SELECT
    coalesce(app, '(unattributed)') AS app,
    count(*) AS flows,
    count(DISTINCT host) AS hosts,
    sum(source_bytes) AS sent,
    sum(destination_bytes) AS received,
    sum(network_protection = 'cleartext') AS cleartext_flows,
    sum(network_protection = 'opaque') AS opaque_flows
FROM flows
WHERE run = coalesce(:run, (SELECT max(id) FROM runs))
GROUP BY app
ORDER BY cleartext_flows DESC, flows DESC, app;
