-- Whether the server turned the client away for its certificate: the alert's shape, how sure that is, and its frame.
ALTER TABLE tls_v1 ADD COLUMN server_rejected_client TEXT;
ALTER TABLE tls_v1 ADD COLUMN server_rejected_client_confidence TEXT;
ALTER TABLE tls_v1 ADD COLUMN server_rejected_client_frame INTEGER;
