-- $1 worker: what the backup holds for its primary.
SELECT count(*) FROM penstock_taken WHERE worker = $1
