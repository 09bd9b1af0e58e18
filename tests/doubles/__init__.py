"""Stand-ins for parts of the world that a test machine may not reach."""
