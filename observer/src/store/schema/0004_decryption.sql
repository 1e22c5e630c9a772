-- How a message was read: observed, or decrypted with the tester's key log.
ALTER TABLE http_v1 ADD COLUMN basis TEXT;
