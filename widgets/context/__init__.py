"""Variables of the notebook as text for a model."""
