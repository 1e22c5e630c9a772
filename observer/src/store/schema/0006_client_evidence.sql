-- What a TLS handshake shows of the client's certificate and of its verdict on the server.
ALTER TABLE tls_v1 ADD COLUMN client_outer_server_name TEXT;
ALTER TABLE tls_v1 ADD COLUMN client_certificate_confidence TEXT;
ALTER TABLE tls_v1 ADD COLUMN client_certificate_evidence TEXT;
ALTER TABLE tls_v1 ADD COLUMN client_certificate_original TEXT;
ALTER TABLE tls_v1 ADD COLUMN client_accepted_server INTEGER;
ALTER TABLE tls_v1 ADD COLUMN client_rejected_server TEXT;
ALTER TABLE tls_v1 ADD COLUMN client_rejected_server_confidence TEXT;
