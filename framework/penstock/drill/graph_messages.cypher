MATCH (message:DrillMessage) RETURN message.id
