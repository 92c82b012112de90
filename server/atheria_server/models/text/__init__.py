"""Models that make a sequence token by token: the runtime `text`."""
