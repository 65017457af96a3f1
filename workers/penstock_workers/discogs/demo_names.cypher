MATCH (person:Artist)-[:MEMBER_OF|ALIAS_OF]->(name:Artist)<-[:BY]-(release:Release)-[:ON]->(label:Label)
WHERE person.name IS NOT NULL AND name.name IS NOT NULL AND label.name IS NOT NULL
RETURN person.name AS person, name.name AS released_as, label.name AS label, count(DISTINCT release) AS releases
ORDER BY releases DESC, person, released_as, label LIMIT 5
