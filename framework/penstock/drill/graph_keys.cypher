MATCH (key:DrillKey)
RETURN key.id, key.version, [(key)-[:NEWEST]->(message) | message.id]
