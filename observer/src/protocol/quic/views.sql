-- The QUIC connections, one row a flow; their handshakes are in tls. `first_version` is what the client began with,
-- where the peers came to another; `continues` is the flow whose connection goes on in this one, an inference.
-- `server_name` and `user_agent` are those of Google's own handshake.
CREATE VIEW quic AS SELECT
    quic.flow, flow.run, flow.app, flow.host, flow.destination_ip, flow.destination_port, flow.frames_first,
    quic.version, quic.first_version, quic.server_versions, quic.retry, quic.token, quic.zero_rtt, quic.close,
    quic.server_name, quic.user_agent, quic.continues
FROM quic_v1 AS quic JOIN flows AS flow ON flow.id = quic.flow;
