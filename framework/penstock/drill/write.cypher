// A write of the kind that drill-graph makes, on nodes of its own: what has only just started takes seconds for its first.
UNWIND range(1, 20) AS number
MERGE (look:DrillLook {id: number})
WITH look, number WHERE look.at IS NULL OR look.at <> 0
SET look = {id: number, at: timestamp()}
FOREACH (_ IN [1] | MERGE (seen:DrillSeen {id: number}) MERGE (look)-[:SEEN]->(seen))
RETURN count(*)
