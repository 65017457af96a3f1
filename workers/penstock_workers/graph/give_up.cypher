FOREACH (k IN [(n)@left[k:@type]@right() WHERE k.@claim AND @{among}NOT @far(k).@key IN r.edges.@field | k] | REMOVE k.@claim)
