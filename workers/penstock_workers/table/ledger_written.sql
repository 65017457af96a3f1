SELECT written_at
FROM penstock_ledger
WHERE worker = $1 AND key = $2
