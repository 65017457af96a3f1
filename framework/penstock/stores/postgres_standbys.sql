-- The standbys that follow this server, the one furthest behind first. A role without pg_read_all_stats sees none.
-- replay_lag is what the server measured with a standby's last answer and stands still while that says nothing: then it
-- is the time since that answer (by the standby's clock; one that has nothing to do answers every 10 s by default).
SELECT
    coalesce(nullif(application_name, ''), 'unnamed') AS standby,
    CASE
        WHEN replay_lsn >= here THEN 0
        ELSE extract(epoch FROM greatest(replay_lag, now() - reply_time, interval '0'))
    END::float8 AS lag_seconds,
    greatest(pg_wal_lsn_diff(here, replay_lsn), 0)::bigint AS lag_bytes
FROM pg_stat_replication
CROSS JOIN LATERAL (
    -- CASE, because a standby that others follow answers the first question with an error.
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS here
) AS log
WHERE replay_lsn IS NOT NULL
ORDER BY lag_bytes DESC, standby
