"""Frames that wait in the front for their readers, and streams that were ended for them. Part of `metrics`.

They are counted where they happen (`core.unread_frames`) and read when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from atheria_contract import names
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.metric_series import LABEL_MODEL


class UnreadCollector(Collector):
    """What prometheus_client asks."""

    def __init__(self, unread: Callable[[], UnreadFrames[Any]], model: str) -> None:
        self._unread = unread
        self._model = model

    def collect(self) -> Iterator[Metric]:
        """The figures now."""
        now = self._unread()
        waiting = GaugeMetricFamily(
            names.METRIC_UNREAD_BYTES,
            "Bytes of the frames that wait in the front for the readers of their streams.",
            labels=[LABEL_MODEL],
        )
        waiting.add_metric([self._model], now.total_bytes)
        yield waiting
        ended = CounterMetricFamily(
            names.METRIC_UNREAD_ENDED.removesuffix("_total"),
            "Streams ended because their readers were the furthest behind when there was no room for more frames.",
            labels=[LABEL_MODEL],
        )
        ended.add_metric([self._model], now.ended_total)
        yield ended
