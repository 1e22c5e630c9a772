-- The flow whose connection goes on in this one, as JSON: an inference from a connection id.
ALTER TABLE quic_v1 ADD COLUMN continues TEXT;
