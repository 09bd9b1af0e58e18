"""Conversations and votes on disk, and in the forms of other programs."""
