SELECT key, version, id FROM drill_table
