"""Conversations on disk: what their files hold, who may write them, and other forms of them."""
