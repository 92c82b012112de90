"""The ways in which a source's files cannot be had or used; the server ends with the text as its one line."""

from __future__ import annotations

from atheria_server.core.errors import DIGEST_MISMATCH, SOURCE_UNAVAILABLE, WEIGHTS_INVALID


class UnusableSourceError(ValueError):
    """The files cannot be used as they are; the text names the source or file, what was found and what to do."""

    reason = WEIGHTS_INVALID


class WrongDigestError(UnusableSourceError):
    """They are not the ones that were asked for."""

    reason = DIGEST_MISMATCH


class NotReachableError(UnusableSourceError):
    """The other side does not answer, or refuses, and trying again did not help."""

    reason = SOURCE_UNAVAILABLE


class InterruptedDownloadError(Exception):
    """A transfer ended early; it may go on from the bytes that are there."""
