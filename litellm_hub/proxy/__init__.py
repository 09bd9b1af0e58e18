"""Plug-in of the LiteLLM proxy: a usage journal on disk, and guards against over-long prompts and cut answers.

It runs inside the gateway's own environment and needs nothing but the standard library and LiteLLM.
"""
