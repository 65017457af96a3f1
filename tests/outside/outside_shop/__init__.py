"""What somebody outside Penstock writes to have their own workers."""
