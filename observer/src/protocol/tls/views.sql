-- The TLS sessions, one row a flow that carried TLS.
CREATE VIEW tls AS SELECT
    tls.flow, flow.run, flow.app, flow.host, flow.destination_ip, flow.destination_port, flow.frames_first,
    tls.version_protocol, tls.version, tls.cipher, tls.curve, tls.next_protocol, tls.established, tls.resumed,
    tls.client_hello_frame, tls.client_server_name, tls.client_outer_server_name,
    (SELECT text FROM lists_v1 WHERE id = tls.client_supported_versions) AS client_supported_versions,
    (SELECT text FROM lists_v1 WHERE id = tls.client_supported_ciphers) AS client_supported_ciphers,
    (SELECT text FROM lists_v1 WHERE id = tls.client_supported_protocols) AS client_supported_protocols,
    (SELECT text FROM lists_v1 WHERE id = tls.client_supported_groups) AS client_supported_groups,
    (SELECT text FROM lists_v1 WHERE id = tls.client_signature_algorithms) AS client_signature_algorithms,
    tls.client_ja3, tls.client_ja4, tls.client_ech, tls.client_fallback_scsv, tls.client_certificate,
    tls.client_certificate_basis, tls.client_certificate_confidence, tls.client_certificate_evidence,
    tls.client_certificate_original,
    tls.client_accepted_server, tls.client_rejected_server, tls.client_rejected_server_confidence,
    tls.server_hello_frame, tls.server_certificate_requested, tls.server_ja3s, tls.server_rejected_client,
    tls.server_rejected_client_confidence, tls.server_rejected_client_frame, tls.alerts
FROM tls_v1 AS tls JOIN flows AS flow ON flow.id = tls.flow;

CREATE VIEW certificates AS SELECT
    id, hash_sha256, subject, issuer, serial,
    strftime('%Y-%m-%dT%H:%M:%SZ', not_before / 1000000000, 'unixepoch') AS not_before,
    strftime('%Y-%m-%dT%H:%M:%SZ', not_after / 1000000000, 'unixepoch') AS not_after,
    san, spki_sha256, public_key_algorithm, public_key_bits, public_key_curve, signature_algorithm, is_ca,
    self_issued, der
FROM certificates_v1;

-- Who showed which certificate; position 0 is the leaf.
CREATE VIEW flow_certificates AS SELECT flow, role, position, certificate FROM flow_certificates_v1;
