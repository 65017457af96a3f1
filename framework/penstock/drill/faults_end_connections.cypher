// $username: end all connections of that user.
CALL dbms.listConnections() YIELD connectionId, username
WITH connectionId, username WHERE username = $username
WITH collect(connectionId) AS ids
CALL dbms.killConnections(ids) YIELD message
RETURN count(message)
