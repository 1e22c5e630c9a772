-- Hosts that several apps talk to, trackers among them.
SELECT
    host,
    count(DISTINCT app) AS apps,
    group_concat(DISTINCT app) AS names,
    count(*) AS flows,
    sum(source_bytes) AS sent
FROM flows
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND app IS NOT NULL AND network_protocol <> 'dns'
GROUP BY host
HAVING apps > 1
ORDER BY apps DESC, flows DESC, host;
