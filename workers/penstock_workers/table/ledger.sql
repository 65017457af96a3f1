-- Enters the keys of events, sorted so that racing writers wait for one another in one order;
-- answers with those that were not there.
INSERT INTO penstock_ledger (worker, key)
SELECT $1, fresh.key
FROM unnest($2::text[]) AS fresh (key)
ORDER BY fresh.key
ON CONFLICT DO NOTHING
RETURNING key
