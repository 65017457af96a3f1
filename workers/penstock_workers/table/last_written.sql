SELECT updated_at
FROM {table}
WHERE {conditions}
