"""Several policies on the same calls and world: rows to print, and regret. Used by replay and the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.clairvoyant import clairvoyant_front, regret
from atheria_operator.simulation.engine import Simulation
from atheria_operator.simulation.outcome import Outcome, Point
from atheria_operator.simulation.policy import Policy
from atheria_operator.simulation.world import World

SLO_SECONDS: Final = 2.0
"""A call that waits longer for a slot is late, unless somebody says otherwise."""

MakePolicy = Callable[[], Policy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One policy on one or more records, figures averaged over the records."""

    policy: str
    gpu_seconds: float
    late_share: float
    lost_share: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    starts: float
    wakes: float
    cold_calls: float
    scalings: float
    flips: float
    regret: float | None
    """GPU seconds over those of the clairvoyant plan at the same share of late calls."""

    @property
    def point(self) -> Point:
        """Cost and lateness."""
        return Point(name=self.policy, gpu_seconds=self.gpu_seconds, late_share=self.late_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All rows, and what a clairvoyant would do."""

    rows: tuple[Row, ...]
    bound: tuple[Point, ...]
    """Of the first record."""

    def dominators(self, policy: str) -> tuple[str, ...]:
        """Names of the policies that are no worse in both and better in one."""
        mine = next(row.point for row in self.rows if row.policy == policy)
        return tuple(row.policy for row in self.rows if row.point.dominates(mine))


def compare(
    records: Sequence[Sequence[Call]],
    *,
    world: World,
    policies: Sequence[MakePolicy],
    slo_seconds: float = SLO_SECONDS,
    seed: int = 0,
) -> Comparison:
    """Run each policy anew on each record, each with the next seed of starts; `records` must not be empty."""
    # The same record may be given several times, for several lengths of starts.
    different = {id(calls): calls for calls in records}
    found = {
        key: clairvoyant_front(calls, slots_per_pod=world.slots_per_pod, start_seconds=world.start_seconds)
        for key, calls in different.items()
    }
    bounds = [found[id(calls)] for calls in records]
    rows = []
    for make in policies:
        outcomes = [
            Simulation(calls=calls, world=world, policy=make(), seed=seed + index).run()
            for index, calls in enumerate(records)
        ]
        rows.append(_row(outcomes, bounds, slo_seconds))
    return Comparison(rows=tuple(rows), bound=bounds[0])


def _row(outcomes: Sequence[Outcome], bounds: Sequence[Sequence[Point]], slo_seconds: float) -> Row:
    def mean(figure: Callable[[Outcome], float]) -> float:
        return sum(figure(one) for one in outcomes) / len(outcomes)

    found = [
        regret(
            Point(name="", gpu_seconds=one.gpu_seconds, late_share=one.late_share(slo_seconds)),
            bound,
        )
        for one, bound in zip(outcomes, bounds, strict=True)
    ]
    known = [one for one in found if one is not None]
    return Row(
        policy=outcomes[0].policy,
        gpu_seconds=mean(lambda one: one.gpu_seconds),
        late_share=mean(lambda one: one.late_share(slo_seconds)),
        lost_share=mean(lambda one: one.lost_share),
        p50_seconds=mean(lambda one: one.wait_seconds(0.5)),
        p95_seconds=mean(lambda one: one.wait_seconds(0.95)),
        p99_seconds=mean(lambda one: one.wait_seconds(0.99)),
        starts=mean(lambda one: one.starts),
        wakes=mean(lambda one: one.wakes),
        cold_calls=mean(lambda one: one.cold_calls),
        scalings=mean(lambda one: one.scalings),
        flips=mean(lambda one: one.flips),
        regret=sum(known) / len(known) if len(known) == len(found) else None,
    )
