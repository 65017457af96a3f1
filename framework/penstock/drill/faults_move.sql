-- $1 tablespace: the statements that move all tables and indexes of this database there, a row each.
SELECT format('ALTER %s %s SET TABLESPACE %I', CASE relkind WHEN 'r' THEN 'TABLE' ELSE 'INDEX' END, oid::regclass, $1::text)
FROM pg_class
WHERE relkind IN ('r', 'i')
  AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
