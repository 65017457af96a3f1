"""Rows into PostgreSQL tables."""
