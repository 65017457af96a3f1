// Fails at the time limit, or if an index has failed.
CALL db.awaitIndexes($seconds)
