-- What each test sent, in order: flows, of these in the clear, what went on into later steps, and findings by severity.
-- Background is what began in no test. A finding counts in each test in which it was seen.
WITH
asked AS (SELECT coalesce(:run, (SELECT max(id) FROM runs)) AS run),
sent AS (
    SELECT
        step_id,
        count(*) AS flows,
        sum(network_protection = 'cleartext') AS cleartext,
        sum(step_began = 'grace') AS just_after,
        sum(step_spans > 0) AS went_on,
        sum(source_bytes) AS sent_bytes,
        sum(destination_bytes) AS received_bytes
    FROM flows
    WHERE run = (SELECT run FROM asked)
    GROUP BY step_id
),
found AS (
    SELECT
        seen.step,
        sum(severity = 'critical') AS critical, sum(severity = 'high') AS high, sum(severity = 'medium') AS medium,
        sum(severity = 'low') AS low, sum(severity = 'info') AS info,
        CASE max(CASE severity WHEN 'critical' THEN 5 WHEN 'high' THEN 4 WHEN 'medium' THEN 3 WHEN 'low' THEN 2 ELSE 1 END)
            WHEN 5 THEN 'critical' WHEN 4 THEN 'high' WHEN 3 THEN 'medium' WHEN 2 THEN 'low' ELSE 'info'
        END AS gravest
    FROM finding_steps AS seen JOIN findings AS finding ON finding.id = seen.finding
    WHERE seen.run = (SELECT run FROM asked)
    GROUP BY seen.step
),
listed AS (
    SELECT id, number, name, kind, result, basis, start, seconds FROM steps
    WHERE run = (SELECT run FROM asked)
    UNION ALL
    SELECT NULL, NULL, '(background)', NULL, NULL, NULL, NULL, NULL
    WHERE EXISTS (SELECT 1 FROM steps WHERE run = (SELECT run FROM asked))
)
SELECT
    listed.name AS step, listed.kind, listed.result, listed.basis, listed.start, round(listed.seconds, 3) AS seconds,
    coalesce(sent.flows, 0) AS flows, coalesce(cleartext, 0) AS cleartext, coalesce(just_after, 0) AS just_after,
    coalesce(went_on, 0) AS went_on, coalesce(sent_bytes, 0) AS sent_bytes, coalesce(received_bytes, 0) AS received_bytes,
    gravest,
    coalesce(critical, 0) AS critical, coalesce(high, 0) AS high, coalesce(medium, 0) AS medium,
    coalesce(low, 0) AS low, coalesce(info, 0) AS info
FROM listed
    LEFT JOIN sent ON sent.step_id IS listed.id
    LEFT JOIN found ON found.step IS listed.id
ORDER BY listed.number IS NULL, listed.number;
