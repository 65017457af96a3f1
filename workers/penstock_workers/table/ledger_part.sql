-- A worker's keys on the pages between two places, all of them ($4 is NULL) or those entered before.
-- Materialized, so that no index on the worker is gone through for every part: the pages are read as they lie.
WITH part AS MATERIALIZED (
    SELECT worker, written_at
    FROM penstock_ledger
    WHERE ctid >= $2::tid AND ctid < $3::tid
)
SELECT count(*), min(written_at), max(written_at)
FROM part
WHERE worker = $1 AND ($4::timestamptz IS NULL OR written_at < $4)
