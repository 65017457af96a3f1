-- $1 time: rows of the ledger that were written after it.
SELECT count(*) FROM drill_ledger WHERE written_at > $1
