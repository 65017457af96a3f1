-- What any role may ask. The timeline of a primary is that of the WAL it writes now: the control file still names the
-- old one between a promotion and its checkpoint. A standby's is at least what its control file and its WAL receiver
-- say; the receiver tells that only to members of pg_read_all_stats, so for others it may lag behind until the next
-- restartpoint. CASE, because a standby answers the first question with an error.
SELECT
    NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable,
    CASE
        WHEN pg_is_in_recovery() THEN greatest(
            (SELECT timeline_id FROM pg_control_checkpoint()),
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
            (SELECT received_tli FROM pg_stat_wal_receiver)
        )
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
    END AS timeline,
    -- Only these two wait until the standby has the commit on its disk.
    current_setting('synchronous_standby_names') <> ''
    AND current_setting('synchronous_commit') IN ('on', 'remote_apply') AS synchronous
