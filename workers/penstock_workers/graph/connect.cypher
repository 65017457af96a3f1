FOREACH (i IN r.edges.@field | MERGE (x:@other {@key: i}) MERGE (n)@left[k:@type]@right(x))
