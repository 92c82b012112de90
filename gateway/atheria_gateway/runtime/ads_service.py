"""ADS over gRPC: pumps requests and snapshots through the state machine of xds/ads_stream.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from envoy.service.discovery.v3 import ads_pb2_grpc

from atheria_gateway.runtime.activator import Activator
from atheria_gateway.xds.ads_stream import AdsStream
from atheria_gateway.xds.inherited import revisions_in
from atheria_gateway.xds.resources import CDS

_LOG = logging.getLogger(__name__)


class AdsService(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """One AdsStream for each stream that Envoy opens."""

    def __init__(self, activator: Activator) -> None:
        """Snapshots and held calls are the activator's."""
        self._activator = activator

    async def StreamAggregatedResources(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        """State-of-the-world ADS for CDS, EDS and RDS; ends when Envoy leaves."""
        stream = AdsStream()
        self._activator.stream_opened(stream)
        arrived: asyncio.Queue[Any | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(requests, arrived))
        request = asyncio.ensure_future(arrived.get())
        try:
            while True:
                changed = self._activator.snapshot_changed.next()
                snapshot = self._activator.snapshot
                if snapshot is not None and snapshot is not stream.snapshot:
                    for answer in stream.on_snapshot(snapshot):
                        yield answer
                    continue
                change = asyncio.ensure_future(changed.wait())
                try:
                    await asyncio.wait((request, change), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
                if request.done():
                    message = request.result()
                    if message is None:
                        return
                    request = asyncio.ensure_future(arrived.get())
                    answers = []
                    if message.type_url == CDS and not message.response_nonce:
                        self._activator.inherit(revisions_in(message.version_info))
                        # Before the first clusters are sent, or Envoy would lose those that it has.
                        if (newest := self._activator.snapshot) is not None:
                            answers += stream.on_snapshot(newest)
                    answers += stream.on_request(message)
                    self._activator.acknowledged()
                    for rejection in stream.rejections:
                        _LOG.error("Envoy refused a resource: %s", rejection)
                    stream.rejections.clear()
                    for answer in answers:
                        yield answer
        finally:
            reader.cancel()
            request.cancel()
            self._activator.stream_closed(stream)

    @staticmethod
    async def _read(requests: AsyncIterator[Any], arrived: asyncio.Queue[Any | None]) -> None:
        try:
            async for request in requests:
                arrived.put_nowait(request)
        finally:
            arrived.put_nowait(None)
