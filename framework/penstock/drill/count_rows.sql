SELECT count(*) FROM drill_ledger
