"""How a model's calls are shared between its revisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atheria_gateway.core.endpoints import Endpoint, PodSlice
from atheria_gateway.core.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One revision's part of the calls."""

    revision: str
    """Name of its Deployment."""
    weight: int
    """Percent; those of a model's shares add up to 100."""
    endpoints: tuple[Endpoint, ...]
    """Its ready pods; without any its calls go by the hold to those of the others."""


def shares_of(model: Model, slices: Iterable[PodSlice]) -> tuple[Share, ...]:
    """The shares by revision, in order; none unless at least two revisions take calls."""
    weighted = {name: weight for name, weight in model.weights.items() if weight > 0}
    if len(weighted) < 2 or sum(weighted.values()) != 100:
        return ()
    ready: dict[str, set[Endpoint]] = {name: set() for name in weighted}
    for one in slices:
        name = f"{model.key.name}-{one.revision}"
        if one.model == model.key and name in ready:
            ready[name].update(one.endpoints)
    return tuple(
        Share(revision=name, weight=weight, endpoints=tuple(sorted(ready[name])))
        for name, weight in sorted(weighted.items())
    )
