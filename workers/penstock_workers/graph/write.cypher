// Not SET n += …: a property that the record no longer has must go.
UNWIND $rows AS r MATCH (n:@label {@key: r.id}) SET n = r.properties
