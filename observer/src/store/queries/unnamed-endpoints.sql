-- Addresses without a name: no SNI, Host, DNS or certificate.
SELECT
    coalesce(app, '(unattributed)') AS app, destination_ip AS ip, destination_port AS port,
    network_transport AS transport, network_protocol AS protocol, network_protection AS protection,
    count(*) AS flows, min(frames_first) AS first_frame
FROM flows
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND destination_domain IS NULL AND coalesce(network_protocol, '') <> 'dns'
GROUP BY app, destination_ip, destination_port, network_transport, network_protocol, network_protection
ORDER BY app, flows DESC, ip;
