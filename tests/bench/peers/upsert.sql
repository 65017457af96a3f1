INSERT INTO bench_rows (id, kind, name, amount, note)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET
    kind = excluded.kind,
    name = excluded.name,
    amount = excluded.amount,
    note = excluded.note,
    updated_at = now()
