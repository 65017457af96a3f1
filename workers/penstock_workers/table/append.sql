INSERT INTO {table} ({columns})
SELECT {columns}
FROM unnest({arrays}) AS fresh ({columns})
