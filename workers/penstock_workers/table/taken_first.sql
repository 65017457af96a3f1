SELECT position, payload
FROM penstock_taken
WHERE worker = $1
ORDER BY position
LIMIT $2
