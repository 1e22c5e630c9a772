-- Findings by requirement, the worst first.
SELECT
    requirement.value AS requirement,
    finding.severity,
    finding.rule,
    coalesce(finding.app, '(unattributed)') AS app,
    coalesce(finding.host, finding.ip) || ':' || finding.port AS endpoint,
    finding.message,
    finding.frame
FROM findings AS finding, json_each(finding.requirements) AS requirement
WHERE finding.run = coalesce(:run, (SELECT max(id) FROM runs))
ORDER BY
    requirement,
    CASE finding.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END,
    finding.id;
