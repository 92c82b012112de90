"""What sharing steps gives the runtime `text`: tokens per second of a running batch beside one text at a time."""
