// Locks a worker's entries against others who take them, not against those who enter; answers nothing, and locks
// nothing, where there are none. The position stands here because an index of two properties wants both.
MATCH (t:PenstockTaken {worker: $worker}) WHERE t.position > 0 WITH t LIMIT 1
MERGE (l:PenstockTaker {worker: $worker})
SET l += {}
RETURN 1
