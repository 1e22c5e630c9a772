-- HTTP requests that everybody on the path can read.
SELECT coalesce(app, '(unattributed)') AS app, frame, method, url_full AS url, host, path, status_code AS status
FROM http
WHERE run = coalesce(:run, (SELECT max(id) FROM runs)) AND method IS NOT NULL AND network_protection <> 'encrypted'
ORDER BY frame;
