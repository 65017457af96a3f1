-- Writes one short record of WAL: a COMMIT that has written none waits for no synchronous standby.
SELECT pg_logical_emit_message(true, 'penstock', '')
