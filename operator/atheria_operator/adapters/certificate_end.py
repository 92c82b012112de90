"""When the first of the certificates ends that the operator keeps itself, as a metric; part of `telemetry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from atheria_contract import names


class CertificateEnd(Collector):
    """No series while it keeps none."""

    def __init__(self, ends_seconds: Callable[[], float | None]) -> None:
        """`ends_seconds` is asked at each scrape; since the epoch."""
        self._ends_seconds = ends_seconds

    def collect(self) -> Iterator[Metric]:
        """One sample, or none."""
        ends_seconds = self._ends_seconds()
        family = GaugeMetricFamily(
            names.METRIC_CERTIFICATE_EXPIRY,
            "When the first of the certificates ends that the operator has made for model pods, their authority among them, "
            "seconds since 1970",
        )
        if ends_seconds is not None:
            family.add_metric((), ends_seconds)
        yield family
