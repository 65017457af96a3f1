-- When the events of these keys were written, in the order of the keys; NULL where one never was.
SELECT (SELECT ledger.written_at FROM penstock_ledger AS ledger WHERE ledger.worker = $1 AND ledger.key = asked.key)
FROM unnest($2::text[]) WITH ORDINALITY AS asked (key, penstock_place)
ORDER BY asked.penstock_place
