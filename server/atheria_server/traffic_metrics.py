"""Bytes and buffers of the memory that the front shares with its workers, as counters. Part of `metrics`.

They are counted where they happen and read when somebody asks. What is lent more often than it is made is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from atheria_contract import names
from atheria_server.engine.buffers import Traffic
from atheria_server.metric_series import LABEL_MODEL


class TrafficCollector(Collector):
    """What prometheus_client asks."""

    def __init__(self, traffic: Callable[[], Traffic], model: str) -> None:
        self._traffic = traffic
        self._model = model

    def collect(self) -> Iterator[Metric]:
        """The counters now."""
        now = self._traffic()
        yield self._family(
            names.METRIC_COPIED_BYTES,
            "Bytes of the messages in memory shared with the workers: to them and from them.",
            {"to_worker": now.written_bytes, "from_worker": now.read_bytes},
        )
        yield self._family(
            names.METRIC_BUFFERS_MADE,
            "Fresh buffers of shared memory made for messages to the workers; constant in steady state.",
            {"": now.buffers_made},
        )
        yield self._family(
            names.METRIC_BUFFERS_LENT,
            "Messages to the workers that had a buffer, made for them or used again.",
            {"": now.buffers_lent},
        )

    def _family(self, name: str, text: str, values: dict[str, int]) -> CounterMetricFamily:
        labels = [LABEL_MODEL, *([] if "" in values else ["direction"])]
        family = CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
        for direction, value in values.items():
            family.add_metric([self._model, *([direction] if direction else [])], value)
        return family
