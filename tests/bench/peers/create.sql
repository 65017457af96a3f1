CREATE TABLE IF NOT EXISTS bench_rows (
    id bigint PRIMARY KEY,
    kind text,
    name text,
    amount double precision,
    note text,
    updated_at timestamptz NOT NULL DEFAULT now()
)
