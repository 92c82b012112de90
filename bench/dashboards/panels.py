"""The panels of the committed dashboards: their queries with the variables filled in, and what of an answer makes sense. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

RATE_INTERVAL: Final = "$__rate_interval"
DCGM: Final = "DCGM_"
"""Metrics of NVIDIA's exporter, which is not there where there is no GPU."""
OF_TEXT_MODELS: Final = "atheria_kv_cache_"
OF_EVALUATED_MODELS: Final = "atheria_model_option_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query of a panel."""

    board: str
    panel: str
    query: str
    is_instant: bool
    lowest: float | None
    highest: float | None

    @property
    def needs_gpus(self) -> bool:
        """Whether it may be empty on a machine without."""
        return DCGM in self.query


def queries(board: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[Asked]:
    """All of a dashboard; `variables` by name, with `__rate_interval`."""
    for panel in board["panels"]:
        defaults = panel.get("fieldConfig", {}).get("defaults", {})
        for target in panel.get("targets", ()):
            yield Asked(
                board=board["uid"],
                panel=panel["title"],
                query=filled(target["expr"], variables),
                is_instant=bool(target.get("instant")),
                lowest=defaults.get("min"),
                highest=defaults.get("max"),
            )


def filled(expr: str, variables: Mapping[str, str]) -> str:
    """A query as Grafana sends it. ValueError for a variable that is not given."""
    for name in sorted(variables, key=len, reverse=True):
        expr = expr.replace(f"${name}", variables[name])
    if "$" in expr.replace('"$1"', ""):
        raise ValueError(f"{expr!r} has a variable that is none of {sorted(variables)}")
    return expr


def complaint(
    asked: Asked,
    answer: Sequence[tuple[Mapping[str, str], Sequence[float]]],
    *,
    may_be_empty: Sequence[str] = (),
) -> str:
    """What is wrong with what a query found; empty = nothing. NaN is a gap: a quantile of no calls is one.

    `may_be_empty`: beginnings of metrics that nobody in the run has.
    """
    values = [value for _, series in answer for value in series if not math.isnan(value)]
    if not values:
        is_absent = any(metric in asked.query for metric in may_be_empty)
        return "" if asked.needs_gpus or is_absent else "no data"
    if any(math.isinf(value) for value in values):
        return "infinite"
    if asked.lowest is not None and min(values) < asked.lowest:
        return f"{min(values):g} is below {asked.lowest:g}"
    if asked.highest is not None and max(values) > asked.highest * (1 + 1e-9):
        return f"{max(values):g} is above {asked.highest:g}"
    return ""
