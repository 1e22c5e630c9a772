-- Findings, the worst first, and what they break.
-- What they break is by CL MSS, or by the standard that `-p standard=asvs`, for one, names.
SELECT
    finding.severity,
    coalesce(finding.app, '(unattributed)') AS app,
    finding.blame AS held_against,
    finding.rule,
    coalesce(finding.host, finding.ip) || ':' || finding.port AS endpoint,
    (
        SELECT group_concat(requirement.value, ' ') FROM json_each(finding.requirements) AS requirement
        WHERE requirement.value LIKE coalesce(:standard, 'cl-mss') || ':%'
    ) AS requirements,
    finding.frame,
    finding.message
FROM findings AS finding
WHERE finding.run = coalesce(:run, (SELECT max(id) FROM runs))
ORDER BY
    finding.blame NOT IN ('app', 'capture'),
    CASE finding.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END,
    app,
    finding.id;
