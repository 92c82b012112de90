"""What a pod that sleeps says about itself, and which pods sleep.

The answer comes from a process that runs the user's code, so it is bounded, never trusted. `runtime.start_watcher` and
`runtime.standby` keep what is known, by `pods.start_key`; the status and the scaling loop read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.domain.observed import Body, is_leaving
from atheria_operator.domain.pods import Told, is_ready, start_key, start_times

ORDER_SECONDS: Final = 15.0
"""A pod that took an order to sleep may look ready for so long: its probe and the watch follow."""
_WAKING: Final = ("awake", "waking")
_LARGEST: Final = 2**53
_LONGEST_NOTE: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Of one pod, which sleeps or is going to."""

    is_asleep: bool = False
    """Its workers have freed what they can; before that it is going to sleep, and the bytes are not known."""
    freed_bytes: int = 0
    """Of its devices' memory, measured by the server."""
    host_bytes: int = 0
    note: str = ""
    """Why less was freed, in the server's words."""
    ordered_seconds: float | None = None
    """When this operator ordered it, monotonic; None = it was found asleep."""


def read_rest(answer: Any) -> Rest | None:
    """The sleep in a pod's answer about its readiness; None for a pod that is awake, wakes, or knows no sleep."""
    told = answer.get(names.READY_STANDBY) if isinstance(answer, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(told.get("state"), str) or told["state"] in _WAKING:
        return None
    note = told.get("note")
    return Rest(
        is_asleep=told["state"] == names.STATE_ASLEEP,
        freed_bytes=_count(told.get("freed_bytes")),
        host_bytes=_count(told.get("host_bytes")),
        note=note[:_LONGEST_NOTE] if isinstance(note, str) else "",
    )


def sleeping(
    pods: Iterable[Body],
    rests: Mapping[str, Rest],
    told: Mapping[str, Told],
    now_seconds: float,
    *,
    is_expected: bool,
) -> tuple[Body, ...]:
    """The pods that sleep, or go to sleep by an order.

    `is_expected` = as many are awake as were asked for: one that runs and has not said yet what it does is then taken for asleep, so that
    a start of the operator wakes nobody.
    """
    return tuple(
        pod for pod in pods if not is_leaving(pod) and _sleeps(pod, rests, told, now_seconds, is_expected)
    )


def sleeping_in(
    pods: Iterable[Body], rests: Mapping[str, Rest], told: Mapping[str, Told], before: Mapping[str, Any]
) -> tuple[Body, ...]:
    """As `sleeping`, for the status: a pod that is ready is not asleep yet; `before` is the stored status, which stays true until a pod
    says otherwise."""
    was_asleep = any(one.get("reason") == names.REASON_ASLEEP for one in before.get("conditions") or ())
    return sleeping(pods, rests, told, math.inf, is_expected=was_asleep)


def standby_status(
    asleep: Sequence[Body], rests: Mapping[str, Rest], before: Mapping[str, Any]
) -> dict[str, Any]:
    """status.standby of the pods that sleep; empty without one."""
    if not asleep:
        return {}
    known = [rest for pod in asleep if (rest := rests.get(start_key(pod))) is not None and rest.is_asleep]
    if not known:
        # Nobody has been asked since a start of the operator.
        return {**(before.get("standby") or {}), "replicas": len(asleep)}
    note = next((rest.note for rest in known if rest.note), "")
    return {
        "replicas": len(asleep),
        "freedBytes": sum(rest.freed_bytes for rest in known),
        "hostBytes": sum(rest.host_bytes for rest in known),
        **({"note": note} if note else {}),
    }


def rest_words(asleep: Sequence[Body], rests: Mapping[str, Rest], before: Mapping[str, Any]) -> str:
    """For people: how many pods sleep, and what that frees."""
    told = standby_status(asleep, rests, before)
    freed = f", {told['freedBytes'] / 1e9:.2f} GB of device memory freed" if "freedBytes" in told else ""
    return f"{len(asleep)} pods are loaded and sleep{freed}; they keep their devices and their cost"


def _sleeps(
    pod: Body, rests: Mapping[str, Rest], told: Mapping[str, Told], now: float, is_expected: bool
) -> bool:
    key = start_key(pod)
    rest = rests.get(key)
    if is_ready(pod):
        ordered = None if rest is None else rest.ordered_seconds
        return ordered is not None and 0 <= now - ordered < ORDER_SECONDS
    if rest is not None:
        return True
    is_known = key in told and told[key].step is not None
    return is_expected and not is_known and bool(start_times(pod).running)


def _count(value: Any) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return min(max(0, value), _LARGEST) if is_count else 0
