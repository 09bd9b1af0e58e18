"""What runs inside the gateway, beside LiteLLM: the door, guards, the accounts and the way to the runtimes.

It needs the gateway's own environment. LiteLLM is left as it is but for the two `patch_*` modules.
"""
