-- When the rows of these keys were last written, in the order of the keys; NULL where there is none.
-- One by one, so that each is looked up by its key, whatever the planner takes their number for.
SELECT (SELECT stored.updated_at FROM {table} AS stored WHERE {conditions})
FROM unnest({key_arrays}) WITH ORDINALITY AS asked ({key}, penstock_place)
ORDER BY asked.penstock_place
