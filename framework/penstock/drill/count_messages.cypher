MATCH (message:DrillMessage) RETURN count(message)
