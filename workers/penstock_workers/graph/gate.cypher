// Creates and locks what may have to be written, and answers with what is stored there. A row that is not in the
// answer is a duplicate.
UNWIND $rows AS r MERGE (n:@label {@key: r.id})
WITH n, r WHERE n.hash IS NULL OR n.hash = '' OR n.hash <> r.hash
// Takes the lock (Neo4j) or marks the conflict (ArcadeDB), changes and counts nothing. REMOVE of an absent property
// would take no lock.
SET n += {}
// The hash is read again here, under the lock. A node with nothing but its key is a stub, which claims no edge.
// One row for all: the driver is slow per row.
RETURN collect([r.id, n.hash, n.version, size(keys(n)) > 1])
