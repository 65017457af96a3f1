-- Transactions of a role that are under way now, by anybody who may see its sessions.
SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND xact_start IS NOT NULL AND state <> 'idle'
