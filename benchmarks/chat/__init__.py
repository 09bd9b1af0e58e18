"""What the chat panel costs, beside the chats of other tools: one answer, one stub of a model, one browser."""
