"""What the project measures, beside what others offer for the same work."""
