"""What a replay is judged by, the same three figures of the real processes and of the simulator. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from atheria_operator.simulation.outcome import nearest_rank
from bench.chaos.ledger import Run
from bench.live_replay.callers import Sent
from bench.live_replay.timeline import PodLife

BAR: Final = 0.2
"""Relative difference that the live replay may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run of some minutes."""

    gpu_seconds: float
    """Pods from creation to end."""
    late_share: float
    """Calls that waited longer than the limit for a slot, or never had one; from 0 to 1."""
    mean_replicas: float
    """Pods asked for, averaged over the time."""
    waits: tuple[float, ...]
    """Seconds to a slot, ascending; of calls that had one."""
    starts: int
    """Pods created."""
    lost: int
    """Calls without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What the simulator is told of the real processes, all of it measured in the run that it is compared with."""

    service_seconds: Mapping[int, float]
    """Of each call, by its id."""
    start_seconds: tuple[float, ...]
    """Of each pod, from creation to ready."""
    end_seconds: tuple[float, ...]
    """Of each pod that was let go, from the word to its end."""
    actuation_seconds: float
    """From a higher number of pods to the first new pod, median."""
    usd_per_pod_hour: float | None
    """As the operator saw it."""


def live_figures(
    sent: Sequence[Sent],
    runs: Sequence[Run],
    pods: Sequence[PodLife],
    replicas: Sequence[tuple[float, int]],
    *,
    begin: float,
    end: float,
    limit_seconds: float,
) -> Figures:
    """Of the real run between two moments (monotonic seconds)."""
    begun = {run.call: run.begun_seconds for run in runs}
    waits = sorted(begun[call.id] - call.sent for call in sent if call.id in begun)
    late = sum(1 for wait in waits if wait > limit_seconds) + len(sent) - len(waits)
    return Figures(
        gpu_seconds=sum(pod.seconds_in(begin, end) for pod in pods),
        late_share=late / len(sent),
        mean_replicas=mean_of_steps(replicas, begin, end),
        waits=tuple(waits),
        starts=sum(1 for pod in pods if begin <= pod.created < end),
        lost=sum(1 for call in sent if call.failure or call.answered is None),
    )


def learnt_of(
    runs: Sequence[Run],
    pods: Sequence[PodLife],
    replicas: Sequence[tuple[float, int]],
    usd_per_pod_hour: float | None,
) -> Learnt:
    """What the simulator needs to know. Raises ValueError where no pod became ready."""
    starts = tuple(pod.start_seconds for pod in pods if pod.start_seconds is not None)
    if not starts:
        raise ValueError("no pod became ready: there is nothing to compare")
    return Learnt(
        service_seconds={
            run.call: run.ended_seconds - run.begun_seconds for run in runs if run.ended_seconds is not None
        },
        start_seconds=starts,
        end_seconds=tuple(
            pod.gone - pod.leaving for pod in pods if pod.gone is not None and pod.leaving is not None
        ),
        actuation_seconds=_actuation(pods, replicas),
        usd_per_pod_hour=usd_per_pod_hour,
    )


def mean_of_steps(steps: Sequence[tuple[float, int]], begin: float, end: float) -> float:
    """Mean over [begin, end] of a number that stays until the next (when, number); 0 before the first."""
    area, number, at = 0.0, 0, begin
    for when, following in steps:
        moment = min(max(when, begin), end)
        area += number * (moment - at)
        number, at = following, moment
    return (area + number * (end - at)) / (end - begin)


def _actuation(pods: Sequence[PodLife], replicas: Sequence[tuple[float, int]]) -> float:
    waits = []
    before = 0
    for (when, number), following in zip(replicas, [*replicas[1:], None], strict=True):
        until = following[0] if following else float("inf")
        first = min((pod.created for pod in pods if when <= pod.created < until), default=None)
        if number > before and first is not None:
            waits.append(first - when)
        before = number
    return statistics.median(waits) if waits else 0.0


def mean_figures(found: Sequence[Figures]) -> Figures:
    """Of several runs; waits of all of them."""
    return Figures(
        gpu_seconds=statistics.fmean(one.gpu_seconds for one in found),
        late_share=statistics.fmean(one.late_share for one in found),
        mean_replicas=statistics.fmean(one.mean_replicas for one in found),
        waits=tuple(sorted(wait for one in found for wait in one.waits)),
        starts=round(statistics.fmean(one.starts for one in found)),
        lost=round(statistics.fmean(one.lost for one in found)),
    )


def differences(live: Figures, simulated: Figures) -> dict[str, float]:
    """Relative difference of the simulator to the real run, by figure; infinite where only the real one is 0."""
    pairs = {
        "GPU-seconds": (live.gpu_seconds, simulated.gpu_seconds),
        "late share": (live.late_share, simulated.late_share),
        "mean replicas": (live.mean_replicas, simulated.mean_replicas),
    }
    return {name: _relative(real, other) for name, (real, other) in pairs.items()}


def _relative(real: float, other: float) -> float:
    if real == other:
        return 0.0
    return (other - real) / real if real else float("inf")


def quantile(figures: Figures, share: float) -> float:
    """Of the waits, by nearest rank, seconds."""
    return nearest_rank(figures.waits, share)
