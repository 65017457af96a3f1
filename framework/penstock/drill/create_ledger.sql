-- What the worker drill-ledger appends to. No unique id on purpose: what is written twice must be seen.
-- The place says in which order the rows came.
CREATE TABLE drill_ledger (
    place bigserial,
    id text,
    key integer,
    key_version bigint,
    written_at timestamptz NOT NULL DEFAULT now()
)
