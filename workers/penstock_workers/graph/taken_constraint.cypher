CREATE CONSTRAINT penstock_taken IF NOT EXISTS FOR (t:PenstockTaken) REQUIRE (t.worker, t.position) IS UNIQUE
