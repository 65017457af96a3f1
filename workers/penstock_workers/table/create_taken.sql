CREATE TABLE IF NOT EXISTS penstock_taken (
    worker text,
    position bigint GENERATED ALWAYS AS IDENTITY,
    payload bytea NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, position)
)
