// Enters payloads in their order, after the data, whose locks are held by now: positions come in the order of commits.
MERGE (c:PenstockTaking {worker: $worker})
// Takes the lock before the count is read; see gate.cypher.
SET c += {}
WITH c, coalesce(c.last, 0) AS last
SET c.last = last + size($payloads)
WITH last
UNWIND range(1, size($payloads)) AS place
CREATE (:PenstockTaken {worker: $worker, position: last + place, payload: $payloads[place - 1]})
