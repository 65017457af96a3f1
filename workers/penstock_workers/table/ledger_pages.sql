-- How many pages the ledger has; 0 where there is none yet.
SELECT coalesce(pg_relation_size(to_regclass('penstock_ledger')) / current_setting('block_size')::bigint, 0)
