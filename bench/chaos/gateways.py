"""The gateways of a run: each an Envoy and an activator on an address of its own, with a pod that is ready while both are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from atheria_contract import names
from bench.chaos import parts
from bench.chaos.parts import Part
from bench.chaos.world import World

PROBE_SECONDS: Final = 2.0
"""As the chart's readiness probes."""
_FIRST_METRICS_PORT: Final = 9091
_PROBE: Final = aiohttp.ClientTimeout(total=1)


@dataclass(slots=True, kw_only=True)
class Gateway:
    """One gateway pod."""

    name: str
    address: str
    activator: Part
    envoy: Part
    calls_log: Path
    _ready_urls: tuple[str, ...]

    @property
    def parts(self) -> tuple[Part, Part]:
        """Its processes."""
        return self.activator, self.envoy

    async def publish(self, world: World) -> None:
        """Play its pod, and kubelet's readiness probes of both containers, until cancelled."""
        await world.add_gateway_pod(self.name, self.address)
        was_ready = False
        async with aiohttp.ClientSession() as session:
            while True:
                answers = [await _answers(session, url) for url in self._ready_urls]
                if all(answers) != was_ready:
                    was_ready = all(answers)
                    await world.say_gateway_pod(self.name, self.address, is_ready=was_ready)
                await asyncio.sleep(PROBE_SECONDS)


def build(number: int, kubeconfig: Path, folder: Path, tell: Callable[[str], None]) -> Gateway:
    """The gateway with this number, from 0; its sockets and logs are in `folder`. Nothing runs yet."""
    name, address = f"gateway-{number}", f"10.244.255.{number + 1}"
    run_directory = folder / name
    run_directory.mkdir()
    metrics_port = _FIRST_METRICS_PORT + number
    return Gateway(
        name=name,
        address=address,
        activator=parts.activator(name, kubeconfig, run_directory, tell, metrics_port=metrics_port),
        envoy=parts.envoy(name, address, run_directory, tell),
        calls_log=parts.access_log_of(run_directory),
        _ready_urls=(
            f"http://{address}:{names.PORT_HTTP}/healthz",
            f"http://127.0.0.1:{metrics_port}/readyz",
        ),
    )


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=_PROBE) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
