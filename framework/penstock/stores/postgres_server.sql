-- The connections that count towards max_connections, by application, the most first; and max_connections, in each row.
-- A role without pg_read_all_stats does not see the type of another role's backend, but does see its application.
SELECT
    coalesce(nullif(application_name, ''), 'unnamed') AS application,
    count(*) AS connections,
    current_setting('max_connections')::int AS connections_limit
FROM pg_stat_activity
WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY application
ORDER BY connections DESC, application
