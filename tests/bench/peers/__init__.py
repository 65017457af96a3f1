"""What Penstock is measured against: each a process of its own, that prints one line of JSON."""
