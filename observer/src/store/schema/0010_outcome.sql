-- Why the absence of findings says nothing, and what the tester ought to know of the policy (a JSON array).
ALTER TABLE runs_v1 ADD COLUMN inconclusive TEXT;
ALTER TABLE runs_v1 ADD COLUMN notes TEXT;
