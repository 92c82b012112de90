"""What an inference costs. Pure formulas; prices come from a file with source and date, never from here.

c = p/3600 * paid seconds / inferences, where paid = busy + idle + loading. Used by `economics` and `evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from atheria_server.core.batch_time import BatchTime

SECONDS_PER_HOUR: Final = 3600.0
TOLERANCE: Final = 0.01
"""How far the product of a waterfall's factors may be from the total."""
CostBasis = Literal["measured", "modelled"]


class EconomicsError(ValueError):
    """Numbers that no cost follows from; the message names the field, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one device for an hour."""

    device: str
    usd_per_hour: float
    """The lowest that the source names."""
    usd_per_hour_high: float
    """The highest."""
    source: str
    """Who says so."""
    date: str
    """When, as precisely as the source does: `2026-05`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidSeconds:
    """What is paid for in a period, summed over the replicas."""

    busy: float
    """Computing."""
    idle: float = 0.0
    """Ready without work."""
    loading: float = 0.0
    """From the start of a replica until it is ready."""

    @property
    def paid(self) -> float:
        """Their sum."""
        return self.busy + self.idle + self.loading

    @property
    def utilisation(self) -> float:
        """Busy part of the time in which replicas are ready."""
        return self.busy / (self.busy + self.idle)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCost:
    """US dollars per 1000 inferences; `total = busy + idle + cold`."""

    total: float
    busy: float
    idle: float
    cold: float
    goodput: float
    """Total per 1000 inferences within the objective for latency; infinite if none was."""


def cost_per_thousand(usd_per_hour: float, seconds_per_inference: float) -> float:
    """US dollars for 1000 inferences that are paid for so long each."""
    return usd_per_hour / SECONDS_PER_HOUR * seconds_per_inference * 1000


def reserved_per_thousand(usd_per_hour: float, throughput: float, utilisation: float = 1.0) -> float:
    """1000 p / (3600 T u): replicas are always there and busy a part u of the time; u = 1 is the cost while busy.

    `throughput` is inferences per second of one busy replica. Raises EconomicsError.
    """
    _positive(usd_per_hour=usd_per_hour, throughput=throughput)
    _share(utilisation=utilisation)
    return cost_per_thousand(usd_per_hour, 1 / (throughput * utilisation))


def period_cost(
    usd_per_hour: float, seconds: PaidSeconds, inferences: int, *, within_objective: int | None = None
) -> PeriodCost:
    """Of a period in which so many inferences were answered (`within_objective` = all of them if None).

    Raises EconomicsError.
    """
    _positive(usd_per_hour=usd_per_hour, inferences=inferences)
    good = inferences if within_objective is None else within_objective
    if not 0 <= good <= inferences:
        raise EconomicsError(f"within_objective is {good}; expected 0 to {inferences}, the inferences")
    busy, idle, cold = (
        cost_per_thousand(usd_per_hour, part / inferences)
        for part in (seconds.busy, seconds.idle, seconds.loading)
    )
    total = cost_per_thousand(usd_per_hour, seconds.paid / inferences)
    goodput = cost_per_thousand(usd_per_hour, seconds.paid / good) if good else math.inf
    return PeriodCost(total=total, busy=busy, idle=idle, cold=cold, goodput=goodput)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleToZero:
    """A period in which replicas come and go."""

    inferences: int
    mean_rows: float
    """Of a batch."""
    cold_starts: int
    cold_seconds: float
    """Of one start, until ready."""
    idle_periods: int
    keep_seconds: float
    """How long a replica without work is kept."""


def scale_to_zero_cost(usd_per_hour: float, time: BatchTime, load: ScaleToZero) -> PeriodCost:
    """c = p/3600 [t(B)/B + (n_cold tau_cold + n_idle tau_keep) / N], per 1000. Raises EconomicsError."""
    _positive(mean_rows=load.mean_rows)
    seconds = PaidSeconds(
        busy=load.inferences * time.seconds(load.mean_rows) / load.mean_rows,
        idle=load.idle_periods * load.keep_seconds,
        loading=load.cold_starts * load.cold_seconds,
    )
    return period_cost(usd_per_hour, seconds, load.inferences)


def cold_start_cost(usd_per_hour: float, cold_seconds: float, penalty_usd: float = 0.0) -> float:
    """C_cold = p tau_cold / 3600 + what a late answer is worth, US dollars."""
    return usd_per_hour / SECONDS_PER_HOUR * cold_seconds + penalty_usd


def stays_warm(hazard_per_second: float, usd_per_hour: float, cold_usd: float) -> bool:
    """Whether one more idle second pays: hazard(t) C_cold > p/3600, with the arrival rate given t silent seconds."""
    return hazard_per_second * cold_usd > usd_per_hour / SECONDS_PER_HOUR


def break_even_seconds(usd_per_hour: float, cold_usd: float) -> float:
    """Ski rental: idle seconds that cost as much as one cold start.

    Whoever knows nothing of the arrivals and keeps a replica so long never pays more than twice the best choice.
    """
    _positive(usd_per_hour=usd_per_hour)
    return cold_usd / (usd_per_hour / SECONDS_PER_HOUR)


def shared_price(usd_per_hour: float, compute_share: float, memory_share: float) -> float:
    """US dollars an hour of a part of a device: the larger of its shares counts."""
    _share(compute_share=compute_share, memory_share=memory_share)
    return usd_per_hour * max(compute_share, memory_share)


def needed_software_gain(throughput_factor: float, hardware_ratio: float) -> float:
    """How much faster the software must be, for a device that is `hardware_ratio` times as fast as the old one."""
    _positive(throughput_factor=throughput_factor, hardware_ratio=hardware_ratio)
    return throughput_factor / hardware_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One way to serve, as its cost sees it."""

    usd_per_hour: float
    busy_seconds: float
    """Of one inference, in batches as they are: t(B)/B."""
    utilisation: float = 1.0
    """Busy part of the ready time."""
    loading_share: float = 0.0
    """Seconds of loading for each second of ready time."""

    @property
    def per_thousand(self) -> float:
        """US dollars."""
        paid = self.busy_seconds / self.utilisation * (1 + self.loading_share)
        return cost_per_thousand(self.usd_per_hour, paid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is done to a setup; what is None stays."""

    name: str
    usd_per_hour: float | None = None
    busy_seconds: float | None = None
    utilisation: float | None = None
    loading_share: float | None = None
    basis: CostBasis = "measured"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterfallStep:
    """What a change did."""

    name: str
    factor: float
    """Cost before / cost after; below 1 it became dearer."""
    per_thousand: float
    """After it."""
    basis: CostBasis
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """From one setup's cost to another's, one factor after the other."""

    first: float
    """US dollars per 1000, before everything."""
    steps: tuple[WaterfallStep, ...]

    @property
    def last(self) -> float:
        """US dollars per 1000, after everything."""
        return self.steps[-1].per_thousand if self.steps else self.first

    @property
    def total(self) -> float:
        """How many times cheaper."""
        return self.first / self.last

    @property
    def product(self) -> float:
        """Of the factors."""
        return math.prod(step.factor for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """For reports."""
        return {
            "first_usd_per_1000": self.first,
            "last_usd_per_1000": self.last,
            "total": self.total,
            "product": self.product,
            "steps": [
                {
                    "name": step.name,
                    "factor": step.factor,
                    "usd_per_1000": step.per_thousand,
                    "cost_basis": step.basis,
                    "note": step.note,
                }
                for step in self.steps
            ],
        }


def waterfall(first: Setup, changes: Sequence[Change]) -> Waterfall:
    """The factor of each change, in this order; their product is the total by construction. Raises EconomicsError."""
    _checked(first)
    setup, steps = first, []
    for change in changes:
        changed = {
            name: value
            for name in ("usd_per_hour", "busy_seconds", "utilisation", "loading_share")
            if (value := getattr(change, name)) is not None
        }
        after = replace(setup, **changed)
        _checked(after)
        steps.append(
            WaterfallStep(
                name=change.name,
                factor=setup.per_thousand / after.per_thousand,
                per_thousand=after.per_thousand,
                basis=change.basis,
                note=change.note,
            )
        )
        setup = after
    found = Waterfall(first=first.per_thousand, steps=tuple(steps))
    check_waterfall(found)
    return found


def check_waterfall(found: Waterfall) -> None:
    """Raises EconomicsError where the factors' product is not the total within TOLERANCE."""
    if abs(found.product / found.total - 1) > TOLERANCE:
        raise EconomicsError(
            f"the factors multiply to {found.product:.4g}, but the total is {found.total:.4g}; "
            "a step is missing or was counted twice"
        )


def _checked(setup: Setup) -> None:
    _positive(usd_per_hour=setup.usd_per_hour, busy_seconds=setup.busy_seconds)
    _share(utilisation=setup.utilisation)
    if not setup.loading_share >= 0:
        raise EconomicsError(f"loading_share is {setup.loading_share}; expected 0 or more")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise EconomicsError(f"{name} is {value}; expected a positive number")


def _share(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value <= 1:
            raise EconomicsError(f"{name} is {value}; expected more than 0 and at most 1")
