UNWIND $positions AS position
MATCH (t:PenstockTaken {worker: $worker, position: position})
DELETE t
RETURN count(*)
