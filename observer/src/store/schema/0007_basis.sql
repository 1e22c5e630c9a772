-- How it was read: `observed` in the clear, or `decrypted`.
ALTER TABLE upgrades_v1 ADD COLUMN basis TEXT;
ALTER TABLE logins_v1 ADD COLUMN basis TEXT;
