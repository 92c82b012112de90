"""The real activator over a cluster that never changes: one model with one pod. `python -m bench.gateway.activator FOLDER PORT`.

FOLDER has the sockets that it shares with Envoy, PORT is the pod's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.app import run
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Listed, ScaleTarget, Watched, WatchEvent
from atheria_gateway.settings import Settings
from atheria_local.free_ports import free_port

KEY: Final = ModelKey(namespace="bench", name="echo")
_REVISION: Final = "1"


class StillCluster:
    """KubePort on a model that has its pod."""

    def __init__(self, *, port: int, queue_limit: int = 512) -> None:
        """`port` is the pod's; 0 = it has none."""
        self._queue_limit = queue_limit
        self._slices = [self.slice_of(port)] if port else []

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        """What there is, and then nothing for ever."""
        yield Listed(objects=tuple(self._objects(watched)))
        await asyncio.Event().wait()

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:  # noqa: ARG002 - the port's
        """Nothing is at zero."""
        return False

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        """Nobody reads it."""

    @staticmethod
    def slice_of(port: int) -> dict[str, Any]:
        """The EndpointSlice of the model with one ready pod."""
        labels = {
            names.LABEL_ROLE: names.ROLE_PODS,
            names.LABEL_MODEL: KEY.name,
            names.LABEL_REVISION: _REVISION,
        }
        return {
            "metadata": {"namespace": KEY.namespace, "name": KEY.name, "labels": labels},
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
            "ports": [{"name": names.PORT_NAME_GRPC, "port": port}],
        }

    def _objects(self, watched: Watched) -> list[dict[str, Any]]:
        if watched is Watched.SLICES:
            return self._slices
        if watched is Watched.PODS:
            return []
        return [
            {
                "metadata": {"namespace": KEY.namespace, "name": KEY.name, "uid": "1"},
                "spec": {"replicas": len(self._slices), "concurrency": {"maxQueueDepth": self._queue_limit}},
                "status": {"activeRevision": f"{KEY.name}-{_REVISION}"},
            }
        ]


if __name__ == "__main__":
    asyncio.run(
        run(
            Settings(run_directory=sys.argv[1], metrics_port=free_port()),
            StillCluster(port=int(sys.argv[2])),
        )
    )
