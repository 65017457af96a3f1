"""The embedded stack: broker, PostgreSQL and graph out of wheels alone, for demos and development on one machine.

It is no place for data that matters: one copy, one machine, no upgrades, no backups.
"""
