"""The node of the played kubelet: without a Node that is alive, no EndpointSlice lists its pods."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from bench.chaos.api import CONFLICT, MERGE, Api, ApiError

NODE: Final = "chaos-node"
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_RENEW_SECONDS: Final = 5.0


async def register(api: Api) -> None:
    """Make the Node, ready, and its Lease."""
    await _create(api, "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Played",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    await api.call(
        "PATCH", f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [ready]}}, content_type=MERGE
    )
    await _create(
        api,
        _LEASES,
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NODE},
            "spec": _renewed(),
        },
    )


async def keep_alive(api: Api) -> None:
    """Renew the Lease until cancelled."""
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        await api.call("PATCH", f"{_LEASES}/{NODE}", {"spec": _renewed()}, content_type=MERGE)


def _renewed() -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    return {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": now}


async def _create(api: Api, path: str, body: dict[str, Any]) -> None:
    try:
        await api.call("POST", path, body)
    except ApiError as error:
        if error.status != CONFLICT:
            raise
