"""How long the certificates of model pods and their authority last, and when the next ones are made. Used by `runtime.own_authority`.

Authorities overlap: a new one is trusted for a day by everybody before it signs, and the old one until it has ended, which is
after every certificate that it signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_DAY_SECONDS: Final = 86_400.0
AUTHORITY_SECONDS: Final = 365 * _DAY_SECONDS
AUTHORITY_LEFT_SECONDS: Final = 120 * _DAY_SECONDS
"""With less than this left the next authority is made: more than a certificate lasts, and the time until it is trusted."""
ADOPTED_SECONDS: Final = _DAY_SECONDS
"""After so long a new authority is in every mounted Secret, and may sign: the kubelet needs minutes."""
CERTIFICATE_SECONDS: Final = 90 * _DAY_SECONDS
CERTIFICATE_LEFT_SECONDS: Final = 30 * _DAY_SECONDS
"""With less than this left a certificate is renewed: long before AtheriaCertificateNearExpiry (14 days)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """From when to when an authority counts; seconds since the epoch."""

    name: str
    begins_seconds: float
    ends_seconds: float


def in_force(terms: Sequence[Term], now_seconds: float) -> tuple[Term, ...]:
    """Those that have not ended, the oldest first."""
    left = [term for term in terms if term.ends_seconds > now_seconds]
    return tuple(sorted(left, key=lambda term: (term.begins_seconds, term.name)))


def needs_another(terms: Sequence[Term], now_seconds: float) -> bool:
    """Whether the next authority is to be made now."""
    return all(term.ends_seconds - now_seconds < AUTHORITY_LEFT_SECONDS for term in terms)


def signer_of(terms: Sequence[Term], now_seconds: float) -> Term:
    """Who signs: the newest that everybody trusts by now; the only one at the beginning. `terms` are in force, and not empty."""
    adopted = [term for term in terms if now_seconds - term.begins_seconds >= ADOPTED_SECONDS]
    return max(adopted, key=lambda term: term.begins_seconds) if adopted else terms[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What is known of a certificate that was issued."""

    ends_seconds: float
    authorities: str
    """Digest of the authorities that lie beside it."""


def is_due(issue: Issue | None, authorities: str, now_seconds: float) -> bool:
    """Whether a certificate is to be issued: there is none, it ends soon, or other authorities are to lie beside it."""
    if issue is None or issue.authorities != authorities:
        return True
    return issue.ends_seconds - now_seconds < CERTIFICATE_LEFT_SECONDS


def is_urgent(issue: Issue | None, now_seconds: float) -> bool:
    """Whether pods may not be made with a certificate any more, where none can be issued: there is none, or it ends within a day."""
    return issue is None or issue.ends_seconds - now_seconds < _DAY_SECONDS
