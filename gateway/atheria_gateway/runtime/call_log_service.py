"""Access log service: Envoy's hold listener tells here when a call that was released has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc

from atheria_gateway.runtime.activator import Activator
from atheria_gateway.xds.cluster_names import TICKET

_CHECK: Final = "envoy.filters.http.ext_authz"
"""Where Envoy keeps what the answer to a check said."""


class CallLogService(als_pb2_grpc.AccessLogServiceServicer):  # type: ignore[misc]
    """Streams of entries, one for each of Envoy's workers."""

    def __init__(self, activator: Activator) -> None:
        """Ends of calls are the activator's."""
        self._activator = activator

    async def StreamAccessLogs(self, messages: AsyncIterator[Any], _: Any) -> Any:
        """Read until Envoy leaves; calls that were refused carry no ticket."""
        async for message in messages:
            for entry in message.http_logs.log_entry:
                metadata = entry.common_properties.metadata.filter_metadata
                if _CHECK in metadata and TICKET in metadata[_CHECK]:
                    self._activator.call_ended(int(metadata[_CHECK][TICKET]))
        return als_pb2.StreamAccessLogsResponse()
