SELECT id, key, key_version FROM drill_ledger ORDER BY place
