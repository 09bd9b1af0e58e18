"""Functions of the notebook as tools that a model may call."""
