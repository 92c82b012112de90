"""Calls of models from the command line, over the gateway."""
