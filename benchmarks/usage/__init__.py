"""Measure the usage library on 1 and 10 million generated requests, beside the log itself and LiteLLM's own queries."""
