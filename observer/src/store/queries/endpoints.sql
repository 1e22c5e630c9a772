-- Endpoints of each app: protocol, protection, TLS, bytes.
SELECT
    coalesce(flow.app, '(unattributed)') AS app,
    flow.host,
    flow.destination_port AS port,
    flow.network_protocol AS protocol,
    flow.network_protection AS protection,
    group_concat(DISTINCT tls.version_protocol || ' ' || tls.version) AS tls,
    count(*) AS flows,
    sum(flow.source_bytes) AS sent,
    sum(flow.destination_bytes) AS received,
    min(flow.frames_first) AS first_frame
FROM flows AS flow LEFT JOIN tls_v1 AS tls ON tls.flow = flow.id
WHERE flow.run = coalesce(:run, (SELECT max(id) FROM runs))
GROUP BY flow.app, flow.host, flow.destination_port, flow.network_protocol, flow.network_protection
ORDER BY flow.app, flow.host, port, protocol;
