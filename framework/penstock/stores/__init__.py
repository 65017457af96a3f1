"""Resilient connections to the databases: pools, and the classification of their errors."""
