"""The workers that come with Penstock."""
