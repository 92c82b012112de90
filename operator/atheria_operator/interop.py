"""The two servers that other autoscalers ask, where they are switched on. Started and stopped by `app`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from atheria_operator.adapters.external_metrics import serve_external_metrics
from atheria_operator.adapters.external_scaler import serve_external_scaler
from atheria_operator.adapters.grpc_thread import GrpcThread
from atheria_operator.runtime.offers import OfferReader
from atheria_operator.runtime.ports import ClusterWriter
from atheria_operator.settings import Settings

_LOG = logging.getLogger(__name__)


class Interop:
    """KEDA's external scaler and the external metrics API."""

    def __init__(
        self, settings: Settings, reader: OfferReader, cluster: ClusterWriter, stop: asyncio.Event
    ) -> None:
        """`stop` is set where a server ends by itself, so that the operator is started again."""
        self._settings = settings
        self._reader = reader
        self._cluster = cluster
        self._stop = stop
        self._scaler: GrpcThread | None = None
        self._metrics: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError where KEDA's port is taken."""
        port = self._settings.external_scaler_port
        if port is not None:
            self._scaler, bound = await serve_external_scaler(self._reader, port)
            _LOG.info("external_scaler_port=%s", bound)
        port = self._settings.external_metrics_port
        if port is not None:
            certificates = Path(self._settings.external_metrics_certificates)
            self._metrics = asyncio.create_task(
                serve_external_metrics(self._reader, self._cluster, certificates, port),
                name="external-metrics",
            )
            self._metrics.add_done_callback(lambda _: self._stop.set())

    async def stop(self) -> None:
        """End both. Raises what a server ended with by itself."""
        if self._scaler is not None:
            await self._scaler.stop(grace=1.0)
        if self._metrics is not None:
            self._metrics.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._metrics
