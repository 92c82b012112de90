"""The ways in which a source's files cannot be had or used; the server ends with the text as its one line."""

from __future__ import annotations


class UnusableSourceError(ValueError):
    """The files cannot be used as they are; the text names the source or file, what was found and what to do."""


class NotReachableError(UnusableSourceError):
    """The other side does not answer, or refuses, and trying again did not help."""


class InterruptedDownloadError(Exception):
    """A transfer ended early; it may go on from the bytes that are there."""
