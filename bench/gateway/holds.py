"""What holding costs and how fast it moves: memory of many held calls, places of cancelled ones, release when a pod appears.

`python -m bench.gateway.holds`. The activator runs in this process, so that the moments of its own state are seen as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.adapters.demand import DemandSender
from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_gateway.adapters.probe import TcpProbe
from atheria_gateway.app import serve
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import Changed, ScaleTarget, Watched, WatchEvent
from atheria_gateway.settings import Settings
from atheria_gateway.xds.resources import EnvoyOptions
from atheria_local.free_ports import free_port
from bench.gateway.activator import KEY, StillCluster
from bench.gateway.echo import METHOD
from bench.installation import program
from bench.serving.processes import ServerProcess
from bench.serving.verdict import quantile

_ROOT: Final = Path(__file__).parents[2]
_CONNECTIONS: Final = 10
_BODY: Final = bytes(100)
_PATIENCE_SECONDS: Final = 180.0


class Cluster(StillCluster):
    """A model at zero until `add_pod`; says when it is woken."""

    def __init__(self, port: int, queue_limit: int) -> None:
        super().__init__(port=0, queue_limit=queue_limit)
        self.woken = asyncio.Event()
        self._port = port
        self._pods = asyncio.Event()

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        """As a still cluster, and the pod once it is there."""
        async for event in super().follow(watched):
            yield event
            break
        if watched is Watched.SLICES:
            await self._pods.wait()
            yield Changed(body=self.slice_of(self._port))
        await asyncio.Event().wait()

    async def scale_from_zero(self, target: ScaleTarget, key: Any) -> bool:  # noqa: ARG002 - the port's
        """The patch as it would be sent."""
        self.woken.set()
        return False

    def add_pod(self) -> None:
        """The pod is ready."""
        self._pods.set()


class Bench:
    """One gateway with its callers."""

    def __init__(self, activator: Activator, cluster: Cluster, envoy: EnvoyAdmin, target: str) -> None:
        self.activator = activator
        self.cluster = cluster
        self.envoy = envoy
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(_CONNECTIONS)]
        self._methods = [channel.unary_unary(METHOD) for channel in self.channels]
        self._sent = 0

    @property
    def held(self) -> int:
        """Calls that wait."""
        return self.activator.holds.total

    def call(self) -> Any:
        """Send one."""
        self._sent += 1
        metadata = (("atheria-model", str(KEY)),)
        return self._methods[self._sent % _CONNECTIONS](_BODY, metadata=metadata, wait_for_ready=True)

    async def until_held(self, count: int) -> None:
        """Until so many calls wait."""
        await self.until(f"{count} held calls", lambda: self.held == count)

    async def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Look at each turn of the loop. TimeoutError with `what`."""
        end = time.perf_counter() + _PATIENCE_SECONDS
        while not condition():
            if time.perf_counter() > end:
                raise TimeoutError(f"{what}: not within {_PATIENCE_SECONDS:g} s")
            await asyncio.sleep(0)


@asynccontextmanager
async def _running(folder: Path, count: int) -> AsyncIterator[Bench]:
    pod, port = free_port(), free_port()
    settings = Settings(
        run_directory=str(folder), hold_limit=count, hold_bytes=2**33, hold_caller_share=1.0, demand_target=""
    )
    bootstrap = write_bootstrap(folder, settings, listen_address="127.0.0.1", ports=(port, free_port()))
    envoy_command = [
        program("envoy"), "-c", str(bootstrap), "--concurrency", "1", "-l", "warning", "--disable-hot-restart",
    ]  # fmt: skip
    pod_command = [sys.executable, "-m", "bench.gateway.echo", str(pod), "0"]
    with ServerProcess(pod_command, folder / "pod.log", {}, _ROOT):
        envoy, cluster = EnvoyAdmin(settings.admin_socket), Cluster(pod, count)
        activator = Activator(
            settings=settings,
            options=EnvoyOptions(
                hold_socket=settings.hold_socket,
                not_started_token=Path(settings.token_file).read_text(encoding="utf-8").strip(),  # noqa: ASYNC240
            ),
            kube=cluster,
            envoy=envoy,
            probe=TcpProbe(),
            demand=DemandSender(target="", gateway="bench"),
            measures=Measures(),
        )
        server = await serve(activator, settings.activator_socket)
        loops = asyncio.create_task(activator.run())
        bench = Bench(activator, cluster, envoy, f"127.0.0.1:{port}")
        try:
            with ServerProcess(envoy_command, folder / "envoy.log", {}, _ROOT):
                yield bench
        finally:
            for channel in bench.channels:
                await channel.close()
            loops.cancel()
            await asyncio.gather(loops, return_exceptions=True)
            await server.stop(1.0)
            await envoy.close()


async def _measure(count: int, samples: int) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="gwh-") as folder:
        async with _running(Path(folder), count) as bench:
            await bench.until("Envoy ready", lambda: bench.activator.is_ready)
            clock = _Clock()
            calls = [bench.call()]
            await asyncio.wait_for(bench.cluster.woken.wait(), _PATIENCE_SECONDS)
            rows.append(("first call to the scale patch, ms", f"{clock.seconds * 1000:.1f}"))
            rows.append(("place of a cancelled call free, ms", await _cancel_one_by_one(bench, samples)))
            before, clock = await bench.envoy.allocated_bytes(), _Clock()
            calls += [bench.call() for _ in range(count - bench.held)]
            await bench.until_held(count)
            rows.append((f"{count:,} calls held after, s", f"{clock.seconds:.1f}"))
            memory = await bench.envoy.allocated_bytes() - before
            rows.append(("of Envoy's memory for each, KiB", f"{memory / count / 1024:.0f}"))
            half, clock = count // 2, _Clock()
            for call in calls[half:]:
                call.cancel()
            await bench.until_held(half)
            rows.append((f"{count - half:,} cancelled at once: places free after, s", f"{clock.seconds:.2f}"))
            clock = _Clock()
            bench.cluster.add_pod()
            await bench.until("a released call", lambda: bench.held < half)
            rows.append(("ready pod to the first released call, ms", f"{clock.seconds * 1000:.1f}"))
            answers = asyncio.gather(*(_answer(call) for call in calls[:half]))
            await asyncio.wait_for(answers, _PATIENCE_SECONDS)
            rows.append((f"ready pod to {half:,} answers, s", f"{clock.seconds:.1f}"))
    return rows


class _Clock:
    """Runs from its making."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since then."""
        return time.perf_counter() - self._began


async def _cancel_one_by_one(bench: Bench, samples: int) -> str:
    found: list[float] = []
    before = bench.held
    for _ in range(samples):
        call = bench.call()
        await bench.until_held(before + 1)
        clock = _Clock()
        call.cancel()
        await bench.until_held(before)
        found.append(clock.seconds * 1000)
    return f"p50 {quantile(found, 0.5):.1f}, p99 {quantile(found, 0.99):.1f}, longest {max(found):.1f} of {samples}"


async def _answer(call: Any) -> None:
    if await call != _BODY:
        raise ValueError("an answer is not what was sent")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway.holds", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="held at once (default 10000)")
    parser.add_argument("--samples", type=int, default=200, help="single cancellations (default 200)")
    options = parser.parse_args()
    for name, value in asyncio.run(_measure(options.calls, options.samples)):
        print(f"| {name} | {value} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
