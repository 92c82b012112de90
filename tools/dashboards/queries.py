"""Pieces of PromQL that several dashboards use."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from tools.dashboards.panels import Query

ONE_NAMESPACE: Final = 'namespace=~"$namespace"'
ONE_MODEL: Final = 'namespace=~"$namespace", model=~"$model"'
"""Operator and gateway name both themselves; a server's pod gets its namespace from whoever scrapes it."""
WINDOW: Final = "[$__rate_interval]"


def selected(metric: str, labels: str = "", *more: str) -> str:
    """A metric's series with these labels."""
    chosen = ", ".join(part for part in (labels, *more) if part)
    return f"{metric}{{{chosen}}}" if chosen else metric


def rate(metric: str, labels: str = "", *more: str, by: str = "") -> str:
    """What a counter gains in a second, summed."""
    return f"sum{_by(by)} (rate({selected(metric, labels, *more)}{WINDOW}))"


def gained(metric: str, labels: str = "", *more: str, by: str = "") -> str:
    """What a rare counter has gained in the window. `increase` would miss its first event: the series begins with that."""
    now = f"sum{_by(by)} ({selected(metric, labels, *more)})"
    before = f"sum{_by(by)} ({selected(metric, labels, *more)} offset $__rate_interval)"
    return f"clamp_min({now} - ({before} or {now} * 0), 0)"


def total(metric: str, labels: str = "", *more: str, by: str = "") -> str:
    """A gauge, summed."""
    return f"sum{_by(by)} ({selected(metric, labels, *more)})"


def cost(labels: str, *more: str, by: str = "") -> str:
    """What pods have cost in the time range that is looked at, USD."""
    return f"sum{_by(by)} (increase({selected(names.METRIC_COST, labels, *more)}[$__range]))"


def or_zero(expr: str) -> str:
    """0 where there is no series yet: a counter with labels has none before the first event."""
    return f"({expr} or on () vector(0))"


def or_none(expr: str, label: str) -> str:
    """The same for a sum by `label`: one line called `none`."""
    return f'({expr} or on () label_replace(vector(0), "{label}", "none", "", ""))'


def ratio(part: str, whole: str) -> str:
    """A quotient that is absent instead of infinite while there is nothing to divide by."""
    return f"{part} / ({whole} > 0)"


def mean(histogram: str, labels: str, by: str = "") -> str:
    """Mean of what a histogram saw."""
    return ratio(rate(f"{histogram}_sum", labels, by=by), rate(f"{histogram}_count", labels, by=by))


def quantiles(histogram: str, labels: str, *of: float) -> tuple[Query, ...]:
    """Quantiles of what a histogram saw, over all its series."""
    return _quantiles(rate(f"{histogram}_bucket", labels, by="le"), of)


def quantiles_of_all(histogram: str, labels: str, *of: float) -> tuple[Query, ...]:
    """The same since the start of whoever counts, for what is too rare for a window."""
    return _quantiles(total(f"{histogram}_bucket", labels, by="le"), of)


def _quantiles(buckets: str, of: tuple[float, ...]) -> tuple[Query, ...]:
    return tuple(Query(expr=f"histogram_quantile({q:g}, {buckets})", legend=f"p{q * 100:g}") for q in of)


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
