"""Drills: named faults made on purpose against real servers, and a count at the end of what was lost. Nothing is."""
