"""What a client may ask the manager."""
