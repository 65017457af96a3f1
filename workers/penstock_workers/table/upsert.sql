-- Writes the rows whose stored row is not the same (by content hash) and not strictly newer (by version);
-- answers with the places, from 1, of those it wrote, in one array; NULL where it wrote none. A missing or empty hash equals nothing.
-- Sorted by key, so that racing writers take their locks in one order.
WITH written AS (
    INSERT INTO {table} AS stored ({columns})
    SELECT {columns}
    FROM unnest({arrays}) AS fresh ({columns})
    ORDER BY {key}
    ON CONFLICT ({key}) DO UPDATE SET
        {assignments}
    WHERE (stored.hash = excluded.hash AND stored.hash <> '') IS NOT TRUE
      AND (stored.version > excluded.version) IS NOT TRUE
    RETURNING {key}
)
SELECT array_agg(fresh.penstock_place)
FROM unnest({key_arrays}) WITH ORDINALITY AS fresh ({key}, penstock_place)
JOIN written USING ({key})
