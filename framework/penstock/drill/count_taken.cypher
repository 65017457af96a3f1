// $worker: what the backup holds for its primary.
MATCH (taken:PenstockTaken {worker: $worker}) RETURN count(taken)
