"""Counters and histograms of calls, cheap to add to: a call moves several, and each costs a fraction of a microsecond.

`metrics` fills them from the server's one event loop, so nothing is locked; they become metric families of
prometheus_client only when /metrics is asked.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

LABEL_MODEL: Final = "model"
"""Every series has it."""


class Tally:
    """One counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Distribution:
    """One histogram: how many values were at most each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: ascending, without infinity."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: dict[int, Exemplar] = {}
        self.total = 0.0
        """Sum of the values."""

    def observe(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def observe_traced(self, value: float, trace_id: str) -> None:
        """The same, remembered as the example of its bucket."""
        place = bisect_left(self._bounds, value)
        self._counts[place] += 1
        self.total += value
        self._exemplars[place] = Exemplar({"trace_id": trace_id}, value, time.time())

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    @property
    def nanoseconds(self) -> int:
        """The sum of values that are seconds."""
        return round(self.total * 1e9)

    def buckets(self) -> list[tuple[Any, ...]]:
        """As HistogramMetricFamily wants them: bound, count up to it, exemplar."""
        bounds = (*map(floatToGoString, self._bounds), "+Inf")
        counts = accumulate(self._counts)
        return [
            (bound, count, self._exemplars.get(place))
            for place, (bound, count) in enumerate(zip(bounds, counts, strict=True))
        ]


class Counters:
    """A metric's counters by label values."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self._name = name
        self._text = text
        self._labels = (LABEL_MODEL, *labels)
        self._children: dict[tuple[str, ...], Tally] = {}

    def child(self, *values: str) -> Tally:
        """The counter of these label values, made if it is new."""
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = Tally()
        return found

    def family(self) -> Metric:
        """Its samples now."""
        family = CounterMetricFamily(self._name.removesuffix("_total"), self._text, labels=self._labels)
        for values, tally in self._children.items():
            family.add_metric(values, tally.value)
        return family


class Histograms:
    """A metric's distributions by label values."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> None:
        self._name = name
        self._text = text
        self._bounds = bounds
        self._labels = (LABEL_MODEL, *labels)
        self._children: dict[tuple[str, ...], Distribution] = {}

    def child(self, *values: str) -> Distribution:
        """The distribution of these label values, made if it is new."""
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = Distribution(self._bounds)
        return found

    def show(self, distribution: Distribution, *values: str) -> None:
        """Give out a distribution that is filled elsewhere."""
        self._children[values] = distribution

    def family(self) -> Metric:
        """Its samples now."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, distribution in self._children.items():
            family.add_metric(values, buckets=distribution.buckets(), sum_value=distribution.total)
        return family


class SeriesCollector(Collector):
    """What prometheus_client asks when somebody wants the text."""

    def __init__(self) -> None:
        self._metrics: list[Counters | Histograms] = []

    def counters(self, name: str, text: str, *labels: str) -> Counters:
        """A new metric of counters."""
        made = Counters(name, text, *labels)
        self._metrics.append(made)
        return made

    def histograms(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Histograms:
        """A new metric of histograms."""
        made = Histograms(name, text, bounds, *labels)
        self._metrics.append(made)
        return made

    def collect(self) -> Iterator[Metric]:
        """The families, in the order in which they were made."""
        return (metric.family() for metric in self._metrics)
