-- Client certificates asked for or sent, and how it is known.
SELECT
    coalesce(app, '(unattributed)') AS app, host, destination_port AS port, version,
    server_certificate_requested AS requested, client_certificate AS certificate, client_certificate_basis AS basis,
    count(*) AS sessions, min(frames_first) AS first_frame
FROM tls
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND (server_certificate_requested = 1 OR client_certificate IN ('sent', 'declined'))
GROUP BY app, host, destination_port, version, requested, certificate, basis
ORDER BY app, host, port;
