"""The worker: runs one task at a time."""
