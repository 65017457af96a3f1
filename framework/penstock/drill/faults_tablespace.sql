-- $1 tablespace, $2 folder: the statements that make and drop it.
SELECT format('CREATE TABLESPACE %I LOCATION %L', $1::text, $2::text), format('DROP TABLESPACE %I', $1::text)
