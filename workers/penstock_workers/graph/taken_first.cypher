// Ordered as the index is, so that Neo4j reads no more of it than it needs.
MATCH (t:PenstockTaken {worker: $worker}) WHERE t.position > 0
WITH t ORDER BY t.worker, t.position LIMIT $limit
RETURN t.position, t.payload
