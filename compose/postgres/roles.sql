-- Run once, while the data folder is made. No standby follows yet: a commit that waited for one would wait for good.
SET synchronous_commit = local;
\set penstock `cat /run/secrets/postgres-penstock`
\set replication `cat /run/secrets/postgres-replication`
CREATE ROLE penstock LOGIN PASSWORD :'penstock';
-- It tells how far the standby is behind.
GRANT pg_read_all_stats TO penstock;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication';
CREATE DATABASE penstock OWNER penstock;
