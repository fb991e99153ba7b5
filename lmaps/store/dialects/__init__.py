"""What concerns one database system alone."""
