FOREACH (k IN [(n)@left[k:@type]@right() WHERE @{among}NOT @far(k).@key IN r.edges.@field | k] | DELETE k)
