"""Which of several operators may write: the holder of a Lease (coordination.k8s.io/v1).

Pure, and safe against clocks that jump or differ: whether a holder is alive is judged by how long its record has not changed
under our own monotonic clock, never by the times that are written in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

LEASE_SECONDS: Final = 15.0
"""A record that has not changed for so long is of a dead holder."""
FENCE_SECONDS: Final = 10.0
"""A holder that could not renew for so long writes nothing more; well before another may take over."""
RETRY_SECONDS: Final = 2.0
"""Between two looks."""


class Step(StrEnum):
    """What to do about the Lease now."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The Lease as it is stored."""

    holder: str
    version: str
    """resourceVersion: a write is only made over the record that was seen."""
    transitions: int = 0
    acquired: str = ""
    """When its holder became the holder, as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The record as it was seen first, and when."""

    version: str = ""
    since_seconds: float = 0.0


def look(seen: Seen, record: Record | None, identity: str, now_seconds: float) -> tuple[Seen, Step]:
    """What was seen and what to do; `now_seconds` is monotonic."""
    if record is None:
        return Seen(), Step.CREATE
    if record.version != seen.version:
        seen = Seen(version=record.version, since_seconds=now_seconds)
    if record.holder == identity:
        return seen, Step.RENEW
    if not record.holder or now_seconds - seen.since_seconds >= LEASE_SECONDS:
        return seen, Step.TAKE
    return seen, Step.WAIT


def read_lease(body: Mapping[str, Any]) -> Record:
    """The record in a Lease."""
    spec = body.get("spec") or {}
    return Record(
        holder=str(spec.get("holderIdentity") or ""),
        version=str(body["metadata"].get("resourceVersion") or ""),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired=str(spec.get("acquireTime") or ""),
    )


def lease_spec(identity: str, before: Record | None, now: str) -> dict[str, Any]:
    """spec of the Lease that `identity` holds from now on, or releases where it is empty; `now` is RFC 3339."""
    transitions = 0 if before is None else before.transitions
    renewed = now.removesuffix("Z") + ".000000Z"
    acquired = renewed
    if before is not None and before.holder == identity and before.acquired:
        acquired = before.acquired
    elif before is not None and identity:
        transitions += 1
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": int(LEASE_SECONDS),
        "renewTime": renewed,
        "leaseTransitions": transitions,
        "acquireTime": acquired,
    }
