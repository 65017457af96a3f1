"""The demo: the real workers on the embedded stack, an outage in the middle, and the proof that nothing was lost."""
