-- How it was come by: `observed` in the clear, `decrypted`, or `inferred` from what surrounds it.
ALTER TABLE properties_v1 ADD COLUMN basis TEXT;
