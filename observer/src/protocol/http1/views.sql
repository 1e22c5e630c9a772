-- HTTP requests with their responses; one of them may be missing.
CREATE VIEW http AS SELECT
    http.flow, flow.run, flow.app, http.frame, http.version, http.method, http.host, http.path, http.url_full,
    http.status_code, http.response_frame, http.request_headers, http.response_headers, flow.network_protection,
    http.basis
FROM http_v1 AS http JOIN flows AS flow ON flow.id = http.flow;
