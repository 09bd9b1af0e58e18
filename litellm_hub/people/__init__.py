"""The lab's people: a list becomes LiteLLM's teams, users and keys, and the database's logins."""
