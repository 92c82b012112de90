"""TCP connections to pods: a retried call is released only after one succeeded."""

from __future__ import annotations

import asyncio
from typing import Final

from atheria_gateway.core.endpoints import Endpoint

_TIMEOUT_S: Final = 0.5


class TcpProbe:
    """ProbePort by a plain TCP connection, closed at once."""

    async def connects(self, endpoint: Endpoint, *, http: bool) -> bool:
        """Whether the pod's REST port (`http`) or its gRPC port accepts a connection within half a second."""
        port = endpoint.http_port if http else endpoint.grpc_port
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                _, writer = await asyncio.open_connection(endpoint.address, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True
