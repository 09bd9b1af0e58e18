"""What the gateway costs, beside LiteLLM alone and no gateway at all: one double of a runtime, one client."""
