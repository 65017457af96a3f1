FOREACH (k IN [(n)-[k:@type]-() WHERE k.by_start IS NULL AND k.by_end IS NULL | k] | DELETE k)
