"""The workers of `penstock drill`: the same messages as a ledger, as a table and as a graph."""
