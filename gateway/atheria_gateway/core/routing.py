"""The routing table: which model a call is for, independent of Envoy. xds/routes.py turns it into routes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from atheria_contract import names
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.shares import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Every way to name a model at the gateway."""

    models: tuple[ModelKey, ...]
    """All models, in order."""
    unique_names: tuple[ModelKey, ...]
    """Models whose bare name no other namespace has: a REST path alone picks them."""
    only: ModelKey | None
    """The model of a call that names none, when there is just one."""
    refusal: str
    """What a caller hears whose call names no known model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlane:
    """All that Envoy must know: the routes, and each model's ready pods."""

    routing: RoutingTable
    endpoints: dict[ModelKey, tuple[Endpoint, ...]]
    shares: dict[ModelKey, tuple[Share, ...]] = field(default_factory=dict)
    """Of models whose calls several revisions take."""
    retired: dict[ModelKey, tuple[str, ...]] = field(default_factory=dict)
    """Revisions that had a share until lately: calls that were given it may still be tried again."""
    detained: frozenset[ModelKey] = frozenset()
    """Models whose calls pass the hold although they have pods."""
    idempotent: frozenset[ModelKey] = frozenset()
    """Models whose calls may be computed twice."""


def authorities_of(model: ModelKey) -> tuple[str, ...]:
    """The host names, without a port, that mean this model; the last fits every cluster domain (cluster.local)."""
    short = f"{model.name}.{model.namespace}"
    return (short, f"{short}.svc", f"{short}.svc.*")


def routing_table(models: Iterable[ModelKey]) -> RoutingTable:
    """Decide what each way of naming a model means, for the models there are now."""
    ordered = tuple(sorted(set(models), key=str))
    count = Counter(model.name for model in ordered)
    return RoutingTable(
        models=ordered,
        unique_names=tuple(model for model in ordered if count[model.name] == 1),
        only=ordered[0] if len(ordered) == 1 else None,
        refusal=refusal(ordered),
    )


def refusal(models: tuple[ModelKey, ...], shown: int = 10) -> str:
    """The sentence for a call that names no model, with the header to set and up to `shown` models to choose from."""
    if not models:
        return (
            f"no such model: there is none yet. Apply an AtheriaModel, then set the header {names.HEADER_MODEL}: "
            "namespace/name"
        )
    some = ", ".join(str(model) for model in models[:shown])
    more = f" and {len(models) - shown} more" if len(models) > shown else ""
    return f"no such model: set the header {names.HEADER_MODEL} to namespace/name, one of {some}{more}"
