"""A double of the `ollama` executable: its HTTP interface, storage and faults, with answers from real llama.cpp."""

VERSION = "0.32.15"
