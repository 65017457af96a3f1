MATCH (n) WHERE n.hash IS NOT NULL RETURN count(n)
