-- Moves on with each transaction that writes, those that wait at their commit and are not seen by anybody among them.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint
