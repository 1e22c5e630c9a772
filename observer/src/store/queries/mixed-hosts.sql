-- Hosts that one app reached both encrypted and in cleartext.
SELECT
    coalesce(app, '(unattributed)') AS app, host,
    sum(network_protection = 'encrypted') AS encrypted_flows,
    sum(network_protection = 'cleartext') AS cleartext_flows,
    min(CASE WHEN network_protection = 'cleartext' THEN frames_first END) AS first_cleartext_frame
FROM flows
WHERE run = coalesce(:run, (SELECT max(id) FROM runs))
GROUP BY app, host
HAVING encrypted_flows > 0 AND cleartext_flows > 0
ORDER BY app, host;
