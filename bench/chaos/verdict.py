"""Why each lost call was lost, and which calls were computed twice. Pure: `report` prints it, unit tests hold its rules.

A call may only be lost with a process that was killed while it had it: a pod (SIGKILL, or deleted by force) or Envoy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.chaos.ledger import Run
from bench.chaos.records import FORCED, KILLED, Call, Life
from bench.chaos.stalls import Stall, stalled_seconds

POD_HAD_BEGUN: Final = "in flight on a killed pod"
POD_WAS_SENT: Final = "sent to a killed pod, not begun"
WORKER_HAD_BEGUN: Final = "in flight on a killed worker"
WORKER_WAS_SENT: Final = "sent to a pod whose worker was killed, not begun"
ENVOY_KILLED: Final = "on a connection of a killed Envoy"
UNEXPLAINED: Final = "UNEXPLAINED"
EXPLAINING_KILLS: Final = (KILLED, FORCED)
NOTICED_SECONDS: Final = 1.5
"""Within this time after the kill the caller must have heard of it, on a machine that is busy."""
UNNOTICED_SECONDS: Final = 0.5
"""So long after the kill a call may still be sent to the process: its death takes a while, and so does hearing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One call without its answer."""

    call: Call
    cause: str
    where: str
    """The container that had it, where one is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """On all calls of a run."""

    sent: int
    answered: int
    losses: tuple[Loss, ...]
    twice: tuple[int, ...]
    """Ids of calls that were begun more than once."""
    never_computed: tuple[int, ...]
    """Ids of answered calls that no pod has finished."""

    @property
    def by_cause(self) -> Counter[str]:
        """Lost calls."""
        return Counter(loss.cause for loss in self.losses)

    @property
    def unexplained(self) -> tuple[Loss, ...]:
        """Those that must not be."""
        return tuple(loss for loss in self.losses if loss.cause == UNEXPLAINED)

    @property
    def is_clean(self) -> bool:
        """Nothing lost but by kills, nothing computed twice."""
        return not (self.unexplained or self.twice or self.never_computed)


def judge(
    calls: Iterable[Call],
    runs: Iterable[Run],
    lives: Iterable[Life],
    routes: Mapping[int, tuple[str, ...]],
    envoy_kills_seconds: Mapping[str, Sequence[float]],
    stalls: Sequence[Stall] = (),
) -> Verdict:
    """`routes` has the addresses to which an Envoy sent a call, `envoy_kills_seconds` is by gateway, `stalls` are those of the run itself;
    all times are of one monotonic clock."""
    every = list(calls)
    lives_by_name = {life.container: life for life in lives}
    runs_by_call: dict[int, list[Run]] = {}
    for run in runs:
        runs_by_call.setdefault(run.call, []).append(run)
    losses = tuple(
        _loss(
            call,
            runs_by_call.get(call.id, []),
            lives_by_name,
            routes.get(call.id, ()),
            envoy_kills_seconds.get(call.gateway, ()),
            partial(_happened_under, stalls),
        )
        for call in every
        if not call.is_answered
    )
    answered = [call for call in every if call.is_answered]
    finished = {run.call for begun in runs_by_call.values() for run in begun if run.ended_seconds is not None}
    return Verdict(
        sent=len(every),
        answered=len(answered),
        losses=losses,
        twice=tuple(call for call, begun in sorted(runs_by_call.items()) if len(begun) > 1),
        never_computed=tuple(call.id for call in answered if call.id not in finished),
    )


def routes_of(log: str) -> dict[int, tuple[str, ...]]:
    """Envoy's lines `call address:port flags status attempts`; what it sent to its own hold listener is left out."""
    found: dict[int, tuple[str, ...]] = {}
    for entry in log.splitlines():
        parts = entry.split()
        # The last line of a killed Envoy may be cut.
        if len(parts) < 2 or not parts[0].isdecimal() or ":" not in parts[1]:
            continue
        address = parts[1].rpartition(":")[0]
        if not address.startswith("/"):
            found[int(parts[0])] = (*found.get(int(parts[0]), ()), address)
    return found


def _loss(
    call: Call,
    runs: list[Run],
    lives: Mapping[str, Life],
    addresses: tuple[str, ...],
    envoy_kills: Sequence[float],
    happened_under: Callable[[Call, float], bool],
) -> Loss:
    begun_in = {run.container for run in runs}

    def was_killed_under(life: Life) -> bool:
        at = life.ended_seconds
        return life.killed_by in EXPLAINING_KILLS and at is not None and happened_under(call, at)

    for run in runs:
        life = lives.get(run.container)
        if life is not None and was_killed_under(life):
            return Loss(call=call, cause=POD_HAD_BEGUN, where=run.container)
    for life in lives.values():
        if life.address in addresses and was_killed_under(life):
            return Loss(call=call, cause=POD_WAS_SENT, where=life.container)
    for life in lives.values():
        if any(happened_under(call, at) for at in life.worker_kills_seconds):
            if life.container in begun_in:
                return Loss(call=call, cause=WORKER_HAD_BEGUN, where=life.container)
            if life.address in addresses:
                return Loss(call=call, cause=WORKER_WAS_SENT, where=life.container)
    if any(happened_under(call, at) for at in envoy_kills):
        return Loss(call=call, cause=ENVOY_KILLED, where=call.gateway)
    where = ", ".join(run.container for run in runs) or ", ".join(addresses)
    return Loss(call=call, cause=UNEXPLAINED, where=where)


def _happened_under(stalls: Sequence[Stall], call: Call, at_seconds: float) -> bool:
    """Whether the call was under way then, and failed soon after, as far as the run was awake to hear of it."""
    end = call.ended_seconds
    if end is None or end < at_seconds:
        return False
    heard_seconds = end - at_seconds - stalled_seconds(stalls, at_seconds, end)
    return call.sent_seconds <= at_seconds + UNNOTICED_SECONDS and heard_seconds <= NOTICED_SECONDS
