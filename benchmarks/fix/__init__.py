"""How many broken cells a model mends at its first attempt."""
