CREATE TABLE IF NOT EXISTS penstock_ledger (
    worker text,
    key text,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, key)
)
