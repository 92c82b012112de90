"""Cost per 1000 inferences on each device: measured where it is at hand, otherwise by its roofline and marked. Pure.

Called by `economics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atheria_server.core.economics import (
    Change,
    CostBasis,
    Price,
    Setup,
    Waterfall,
    cost_per_thousand,
    reserved_per_thousand,
    waterfall,
)
from atheria_server.core.roofline import Device, Work, as_graph, step_time


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One device."""

    price: Price
    basis: CostBasis
    naive_seconds: float
    """Of one inference, alone, eager and in full precision."""
    rows: int
    """Of a batch."""
    batch_seconds: float
    """Of such a batch, with everything that was asked for."""
    bound: str
    """What holds the batch up, where that is modelled."""
    note: str = ""

    @property
    def throughput(self) -> float:
        """Inferences per second."""
        return self.rows / self.batch_seconds

    def naive_usd(self) -> float:
        """Per 1000, while busy, at the lowest price."""
        return cost_per_thousand(self.price.usd_per_hour, self.naive_seconds)

    def busy_usd(self) -> tuple[float, float]:
        """Per 1000, while busy, at the lowest and the highest price."""
        return (
            reserved_per_thousand(self.price.usd_per_hour, self.throughput),
            reserved_per_thousand(self.price.usd_per_hour_high, self.throughput),
        )

    def reserved_usd(self, utilisation: float) -> float:
        """Per 1000, with replicas that are busy a part of the time, at the lowest price."""
        return reserved_per_thousand(self.price.usd_per_hour, self.throughput, utilisation)

    def to_json(self, utilisation: float) -> dict[str, Any]:
        """For `--output json`."""
        low, high = self.busy_usd()
        return {
            "device": self.price.device,
            "cost_basis": self.basis,
            "usd_per_hour": [self.price.usd_per_hour, self.price.usd_per_hour_high],
            "price_source": self.price.source,
            "price_date": self.price.date,
            "naive_seconds": self.naive_seconds,
            "rows": self.rows,
            "batch_seconds": self.batch_seconds,
            "inferences_per_second": self.throughput,
            "bound": self.bound,
            "naive_usd_per_1000": self.naive_usd(),
            "busy_usd_per_1000": [low, high],
            "reserved_usd_per_1000": self.reserved_usd(utilisation),
            "note": self.note,
        }


def modelled_row(device: Device, price: Price, work: Work, *, steps: int, rows: int) -> CostRow:
    """By the roofline: eager and alone as the naive way, batches in one CUDA graph as the other."""
    whole = as_graph(work)
    best = step_time(whole, device, rows)
    return CostRow(
        price=price,
        basis="modelled",
        naive_seconds=steps * step_time(work, device).seconds,
        rows=rows,
        batch_seconds=steps * best.seconds,
        bound=best.bound,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How a service is run, before and after; inputs of a cost, not measurements."""

    utilisation: tuple[float, float]
    """Busy part of the ready time."""
    cold_seconds: tuple[float, float]
    """From the start of a replica to ready."""
    starts_per_day: float

    @property
    def loading_shares(self) -> tuple[float, float]:
        """Seconds of loading for each second of ready time."""
        before, after = self.cold_seconds
        return self.starts_per_day * before / 86400, self.starts_per_day * after / 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Seconds of an inference after each change to how it is computed."""

    naive: float
    steps: Sequence[tuple[str, float, str]]
    """Name, seconds of an inference from then on, note; in the order of the changes."""
    basis: CostBasis


def chain_waterfall(chain: Chain, before: Price, after: Price, operation: Operation) -> Waterfall:
    """price, then each step of the chain, then utilisation and cold start. Raises EconomicsError."""
    first = Setup(
        usd_per_hour=before.usd_per_hour,
        busy_seconds=chain.naive,
        utilisation=operation.utilisation[0],
        loading_share=operation.loading_shares[0],
    )
    changes = [
        Change(
            name="price",
            usd_per_hour=after.usd_per_hour,
            basis="modelled",
            note=f"{before.device} to {after.device}; {after.source}, {after.date}",
        ),
        *(
            Change(name=name, busy_seconds=seconds, basis=chain.basis, note=note)
            for name, seconds, note in chain.steps
        ),
        Change(
            name="utilisation",
            utilisation=operation.utilisation[1],
            basis="modelled",
            note=f"{operation.utilisation[0]:.0%} to {operation.utilisation[1]:.0%}, given",
        ),
        Change(
            name="cold start",
            loading_share=operation.loading_shares[1],
            basis="modelled",
            note=f"{operation.cold_seconds[0]:g} s to {operation.cold_seconds[1]:g} s, "
            f"{operation.starts_per_day:g} a day, given",
        ),
    ]
    return waterfall(first, changes)


def modelled_chain(before: Device, after: Device, work: Work, *, steps: int, rows: int) -> Chain:
    """From an eager single request on one device to a batch in a CUDA graph on another, by their rooflines.

    Everything is in bf16, so precision is a factor of 1 here.
    """
    naive = steps * step_time(work, before).seconds
    moved = steps * step_time(work, after).seconds
    batched = steps * step_time(work, after, rows).seconds / rows
    whole = steps * step_time(as_graph(work), after, rows).seconds / rows
    return Chain(
        naive=naive,
        steps=[
            ("hardware", moved, f"eager and alone, {before.name} to {after.name}"),
            ("batch", batched, f"{rows} rows"),
            ("compile", whole, "one CUDA graph"),
            ("precision", whole, "bf16 on both sides"),
        ],
        basis="modelled",
    )
