-- Flows that belong to nobody known, by endpoint.
SELECT
    host, destination_port AS port, network_transport AS transport, network_protocol AS protocol,
    count(*) AS flows, sum(source_bytes + destination_bytes) AS bytes, min(frames_first) AS first_frame
FROM flows
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND owner IS NULL
GROUP BY host, destination_port, network_transport, network_protocol
ORDER BY bytes DESC, host;
