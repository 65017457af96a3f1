-- Removes a worker's keys that were entered before, on the pages between two places; answers with how many.
-- A row of the ledger is never changed, so none of them can have become young meanwhile.
WITH part AS MATERIALIZED (
    SELECT ctid AS place, worker, written_at
    FROM penstock_ledger
    WHERE ctid >= $2::tid AND ctid < $3::tid
),
removed AS (
    DELETE FROM penstock_ledger
    WHERE ctid = ANY (ARRAY(SELECT place FROM part WHERE worker = $1 AND written_at < $4))
    RETURNING 1
)
SELECT count(*) FROM removed
