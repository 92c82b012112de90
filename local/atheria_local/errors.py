"""The one kind of error that this package raises for a person to read."""

from __future__ import annotations


class LocalError(RuntimeError):
    """A step failed; the message is one line that ends with the remedy."""
