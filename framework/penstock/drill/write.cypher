MERGE (look:DrillLook) SET look.at = timestamp() RETURN 1
