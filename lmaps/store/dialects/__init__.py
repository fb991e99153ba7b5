"""What belongs to one database engine alone."""
