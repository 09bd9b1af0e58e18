"""What is said: conversations and comparisons, and how their answers get written."""
