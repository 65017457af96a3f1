-- One transaction a worker's name; freed by the transaction's end, so that it works behind a PgBouncer.
SELECT pg_advisory_xact_lock(hashtextextended('penstock_taken ' || $1::text, 0))
