-- Enters messages in their order. The rows of the data are locked by now, so that of two writers of one key
-- the later one has the higher position.
INSERT INTO penstock_taken (worker, payload)
SELECT $1, fresh.payload
FROM unnest($2::bytea[]) WITH ORDINALITY AS fresh (payload, place)
ORDER BY fresh.place
