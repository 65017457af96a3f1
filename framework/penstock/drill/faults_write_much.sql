-- About 100 MB in the log, none of it in the tables' own files until the next checkpoint.
CREATE TABLE penstock_fault AS SELECT repeat('x', 200) AS text FROM generate_series(1, 400000)
