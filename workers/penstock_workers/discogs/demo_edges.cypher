MATCH ()-[e]->() RETURN type(e) AS type, count(*) AS number
