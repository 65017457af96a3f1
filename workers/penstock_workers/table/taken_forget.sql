-- By each position: one in between may belong to a transaction that is committed only now.
DELETE FROM penstock_taken
WHERE worker = $1 AND position = ANY ($2::bigint[])
