"""Penstock and its peers, measured in turn on the same servers: `make bench`."""
