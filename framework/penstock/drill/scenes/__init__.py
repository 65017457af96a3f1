"""The drills, a module a topic."""
