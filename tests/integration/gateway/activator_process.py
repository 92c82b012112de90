"""An activator in a process of its own, so that a test can kill it; its cluster is a JSON file that it reads again and again.

Arguments: folder of the sockets, file with {"models": [...], "slices": [...]}, file for the number of held calls.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_gateway.adapters.probe import TcpProbe
from atheria_gateway.app import serve
from atheria_gateway.core.demand import Demand
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import Listed, ScaleTarget, Watched, WatchEvent
from atheria_gateway.settings import Settings
from atheria_gateway.xds.resources import EnvoyOptions


class FileKube:
    """KubePort that reads a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        last = ""
        while True:
            text = self._file.read_text(encoding="utf-8")
            if text != last:
                last = text
                yield Listed(objects=tuple(json.loads(text).get(watched.value, ())))
            await asyncio.sleep(0.02)

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:
        return True

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        return None


class NoDemand:
    """DemandPort that drops all."""

    def offer(self, demand: tuple[Demand, ...]) -> None:
        return None


async def main(directory: str, cluster: str, held: str) -> None:
    settings = Settings(run_directory=directory)
    token = Path(settings.token_file).read_text(encoding="utf-8")  # noqa: ASYNC240 - once
    activator = Activator(
        settings=settings,
        options=EnvoyOptions(hold_socket=settings.hold_socket, not_started_token=token),
        kube=FileKube(Path(cluster)),
        envoy=EnvoyAdmin(settings.admin_socket),
        probe=TcpProbe(),
        demand=NoDemand(),
        measures=Measures(),
    )
    # Kept: a server without a reference is collected, and closes its socket.
    server = await serve(activator, settings.activator_socket)

    async def tell() -> None:
        while True:
            Path(held).write_text(str(activator.holds.total), encoding="utf-8")  # noqa: ASYNC240 - small
            await asyncio.sleep(0.02)

    await asyncio.gather(activator.run(), tell(), server.wait_for_termination())


asyncio.run(main(*sys.argv[1:4]))
