-- TLS handshakes not completed, with the alerts that say why.
SELECT
    coalesce(app, '(unattributed)') AS app, host, destination_port AS port, version, client_hello_frame AS frame,
    (SELECT group_concat(json_extract(alert.value, '$.from') || ': '
        || coalesce(json_extract(alert.value, '$.description'), 'encrypted alert'), ', ')
     FROM json_each(tls.alerts) AS alert) AS alerts
FROM tls
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND established = 0
ORDER BY frame;
