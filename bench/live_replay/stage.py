"""The real processes of a run with one model: control plane, operator, gateway and servers as pods, as bench.chaos has them, and nobody kills.

Used by the replay and by the bench of the wake path, inside the namespaces of `bench.chaos.sandbox`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from bench.chaos import gateways, parts
from bench.chaos.api import Api
from bench.chaos.kubelet import Kubelet
from bench.chaos.world import NAMESPACE, World, eventually
from bench.live_replay.timeline import Timeline

MODEL: Final = "replay"
SOURCE: Final = "python://bench.chaos.ledger_model:LedgerApi"
_START_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a run needs of it."""

    world: World
    kubelet: Kubelet
    timeline: Timeline
    target: str
    """host:port of the gateway."""
    folder: Path
    """Of all logs and ledgers."""

    async def model(self) -> dict[str, Any]:
        """As it is stored."""
        return await self.world.model(MODEL)

    async def pods_are_gone(self) -> None:
        """Wait until no process of the model runs."""

        async def gone() -> bool:
            return not self.kubelet.pods

        await eventually("no pod of the model", gone, _START_SECONDS)


@asynccontextmanager
async def raised(folder: Path, spec: dict[str, Any], tell: Callable[[str], None]) -> AsyncIterator[Stage]:
    """All of it with the model at zero; ended with the block. A part that cannot run ends the block with its error."""
    with ControlPlane(controllers=True) as plane:
        async with Api(plane.kubeconfig) as api:
            world = World(plane, api)
            operator_file, gateway_file = await asyncio.to_thread(world.install, folder)
            kubelet = Kubelet(api, folder)
            gateway = gateways.build(0, gateway_file, folder, tell)
            timeline = Timeline(api, NAMESPACE, MODEL)
            world.specs[MODEL] = {"model": {"source": SOURCE}, **spec}
            running = (parts.operator(operator_file, folder, tell), *gateway.parts)
            try:
                async with asyncio.TaskGroup() as tasks:
                    background = [tasks.create_task(part.run(), name=part.name) for part in running]
                    background.append(tasks.create_task(kubelet.run(), name="kubelet"))
                    background.append(tasks.create_task(gateway.publish(world), name=gateway.name))
                    background += [
                        tasks.create_task(one, name="timeline") for one in (timeline.pods(), timeline.scale(), timeline.slices())
                    ]  # fmt: skip
                    await world.create(MODEL)
                    stage = Stage(
                        world=world,
                        kubelet=kubelet,
                        timeline=timeline,
                        target=f"{gateway.address}:{names.PORT_GRPC}",
                        folder=folder,
                    )
                    await eventually("a revision of the model", _has_revision(stage), _START_SECONDS)
                    await eventually("a ready gateway", _is_routed(world), _START_SECONDS)
                    yield stage
                    for task in background:
                        task.cancel()
            finally:
                kubelet.kill_all()


def _has_revision(stage: Stage) -> Callable[[], Any]:
    async def look() -> bool:
        return bool((await stage.model()).get("status", {}).get("activeRevision"))

    return look


def _is_routed(world: World) -> Callable[[], Any]:
    async def look() -> bool:
        """The model's own slice lists a gateway that is ready."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
        slices = await world.api.items(path, f"{names.LABEL_ROLE}={names.ROLE_GATEWAY}")
        return any(
            (one.get("conditions") or {}).get("ready")
            for item in slices
            for one in item.get("endpoints") or ()
        )

    return look
