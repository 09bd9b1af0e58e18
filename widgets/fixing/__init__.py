"""Cells that a model corrects or changes: what it is asked, and what of its answer is code."""
