-- The weakest TLS that each app negotiated with each host.
SELECT
    coalesce(app, '(unattributed)') AS app,
    host,
    destination_port AS port,
    version_protocol || ' ' || min(version) AS weakest,
    group_concat(DISTINCT cipher) AS ciphers,
    count(*) AS sessions,
    min(frames_first) AS first_frame
FROM tls
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND version IS NOT NULL
GROUP BY app, host, destination_port, version_protocol
ORDER BY CASE version_protocol WHEN 'ssl' THEN 0 WHEN 'dtls' THEN 1 WHEN 'tls' THEN 1 ELSE 2 END, min(version), app, host;
