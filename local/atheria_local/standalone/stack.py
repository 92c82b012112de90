"""Puts the processes together: cluster in memory, autoscaler, gateway, pods. Run by `python -m atheria_local.standalone`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from atheria_contract import names
from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.app import run as run_gateway
from atheria_gateway.settings import Settings
from atheria_local.errors import LocalError
from atheria_local.standalone.memory_cluster import DEPLOYMENT, POD, MemoryCluster
from atheria_local.standalone.objects import NAMESPACE, Body, as_stored, price_in, status_of
from atheria_local.standalone.parent import bound_to_this_process
from atheria_local.standalone.pods import Pods
from atheria_operator.adapters.clock import SystemClock
from atheria_operator.adapters.demand_sink import serve_demand
from atheria_operator.adapters.pod_reports import HttpPodReports
from atheria_operator.adapters.telemetry import PrometheusTelemetry
from atheria_operator.api.model import HardwareProfile, ModelIntent, ModelKey, Problem
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.cost import cost_status
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.observed import Observed
from atheria_operator.runtime.demand_board import DemandBoard
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import Raced
from atheria_operator.runtime.scaler import RING, Scaler, ScalingPorts
from atheria_operator.runtime.wakeups import Wakeups

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 1.0
"""Longest time between two looks, whatever wakes them."""
START_SECONDS: Final = 45.0
"""Until the gateway listens."""
DEATHS_MOST: Final = 3
"""Servers in a row that end before one is ready: the next one would, too."""
_RACED_SECONDS: Final = 0.05
_LOOK_AGAIN_SECONDS: Final = 0.05
_DRAIN_SECONDS: Final = 10.0
"""For the gateway, to let its calls end."""
_CANCEL_SECONDS: Final = 3.0
_ENVOY: Final = ("--concurrency", "1", "-l", "warning", "--disable-hot-restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the gateway listens, on 127.0.0.1."""

    grpc: int
    http: int
    metrics: int


@dataclass(slots=True, kw_only=True)
class State:
    """What a person sees of the model."""

    asked: int = 0
    pods: int = 0
    ready: int = 0
    held: int = 0
    in_flight: int = 0
    phase: str = ""
    decisions: deque[Mapping[str, Any]]
    """Newest first."""


class Stack:
    """One model, its pods, the gateway and the autoscaler; `running` starts and ends them."""

    def __init__(self, manifest: Body, folder: Path, ports: Ports, beside: Sequence[Any] = ()) -> None:
        """`manifest` is an AtheriaModel; `beside` are other documents of its file, of which its hardware profile has the price.

        Raises LocalError, in the operator's words, for a model that it would refuse.
        """
        metadata = {**manifest["metadata"], "namespace": NAMESPACE, "uid": "standalone", "generation": 1}
        manifest = as_stored({**manifest, "metadata": metadata})
        parsed = parse_model(manifest)
        if isinstance(parsed, Problem):
            raise LocalError(f"the model is refused: {parsed.reason}: {parsed.message}")
        self._intent: ModelIntent = parsed
        self._price = price_in(beside, parsed.profile)
        self._key = ModelKey(namespace=NAMESPACE, name=metadata["name"])
        self._folder, self._ports = folder, ports
        self._changed = asyncio.Event()
        self._clock = SystemClock()
        self._cluster = MemoryCluster(self._changed.set)
        self._wakeups = Wakeups()
        self._board = DemandBoard(self._clock, self._wakeups)
        self._meter = Meter(self._clock, {})
        revision = build_revision(parsed, HardwareProfile(name="cpu"), ServerDefaults(image="none"))
        self._revision = revision.name
        # The calls of a pod that goes end within seconds here: there are no routers that have to learn of it.
        serving = replace(parsed.serving, drain_delay_seconds=0.5)
        self._pods = Pods(self._cluster, serving, (revision.name, revision.hash), folder, self._clock.now)
        deployment = build_deployment(parsed, revision)
        self._cluster.put(DEPLOYMENT, {**deployment, "spec": {**deployment["spec"], "replicas": 0}})
        self._cluster.put(names.MODEL_KIND, {**manifest, "status": status_of(revision.name, 0, ())})
        self.state = State(decisions=deque(maxlen=RING))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """All of it, until the block ends; the task fails when a part of it does. LocalError where a part cannot start."""
        async with AsyncExitStack() as parts:
            sink, demand_port = await serve_demand(self._board, 0, "127.0.0.1")
            parts.push_async_callback(sink.stop, 0.5)
            reports = HttpPodReports()
            parts.push_async_callback(reports.close)
            settings = Settings(
                run_directory=str(self._folder),
                pod_namespace=NAMESPACE,
                demand_target=f"127.0.0.1:{demand_port}",
                metrics_port=self._ports.metrics,
                metrics_address="127.0.0.1",
                drain_s=1.0,
                hand_back_s=1.0,
                has_live_page=True,
            )
            write_bootstrap(
                self._folder,
                settings,
                listen_address="127.0.0.1",
                ports=(self._ports.grpc, self._ports.http),
            )
            stop = asyncio.Event()
            parts.push_async_callback(self._pods.close)
            envoy = await self._start_envoy()
            parts.push_async_callback(_end, envoy)
            tasks = [
                asyncio.create_task(run_gateway(settings, self._cluster, {}, stop), name="gateway"),
                asyncio.create_task(self._scale(reports), name="autoscaler"),
                asyncio.create_task(self._keep(), name="pods"),
                asyncio.create_task(_watch(envoy, self._folder / "envoy.log"), name="envoy"),
            ]
            whole = asyncio.create_task(_first_failure(tasks))
            try:
                await self._answers(whole)
                yield whole
            finally:
                stop.set()
                await asyncio.wait(tasks[:1], timeout=_DRAIN_SECONDS)
                for task in (*tasks, whole):
                    task.cancel()
                await asyncio.wait((*tasks, whole), timeout=_CANCEL_SECONDS)

    async def _start_envoy(self) -> asyncio.subprocess.Process:
        program = Path(sys.executable).with_name("envoy")
        if not program.exists():
            raise LocalError(f"{program} is not there: pip install 'atheria[gateway]'")
        arguments = ("-c", str(self._folder / "bootstrap.yaml"), *_ENVOY)
        with (self._folder / "envoy.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                *bound_to_this_process([str(program), *arguments]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _answers(self, whole: asyncio.Task[None]) -> None:
        """Until Envoy, which waits for what the activator tells it, listens on both ports. Raises LocalError."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        for port in (self._ports.grpc, self._ports.http):
            while not await _connects(port):
                await asyncio.wait({whole}, timeout=_LOOK_AGAIN_SECONDS)
                if whole.done():
                    await whole
                if asyncio.get_running_loop().time() > deadline:
                    raise LocalError(f"Envoy does not listen on port {port} after {START_SECONDS:g} s")

    async def _scale(self, reports: HttpPodReports) -> None:
        """The operator's scaling loop, as its daemon runs it."""
        woken = asyncio.Event()
        ports = ScalingPorts(
            cluster=self._cluster,
            demand=self._board,
            clock=self._clock,
            events=_Events(),
            telemetry=PrometheusTelemetry(CollectorRegistry()),
            pods=reports,
        )
        scaler = Scaler(self._key, ports, self.state.decisions, self._meter)
        with self._wakeups.listening(self._key, woken.set):
            while True:
                woken.clear()
                try:
                    after_seconds = await scaler.tick(self._model(), self._observed())
                except Raced:
                    after_seconds = _RACED_SECONDS
                wait_seconds = LOOK_SECONDS if after_seconds is None else min(LOOK_SECONDS, after_seconds)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), wait_seconds)

    async def _keep(self) -> None:
        """Pods as the Deployment asks for them, and the status as they are."""
        while True:
            self._changed.clear()
            if self._pods.deaths >= DEATHS_MOST:
                raise LocalError(
                    f"the model's server ended {DEATHS_MOST} times at its start, last with {self._pods.last_words}"
                )
            await self._pods.match()
            self._report()
            self._wakeups.wake(self._key)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)

    def _report(self) -> None:
        model = self._model()
        requested = int((model.get("spec") or {}).get("replicas") or 0)
        demand = self._board.demand(self._key)
        status = status_of(
            self._revision,
            requested,
            self._pods.pods,
            self.state.decisions,
            queue=None if demand is None else demand.calls,
            cost=cost_status(self._meter.usage, self._price, self._intent.device_count),
        )
        if model.get("status") != status:
            self._cluster.put(names.MODEL_KIND, {**model, "status": status})
        self.state.asked, self.state.phase = requested, str(status["phase"])
        self.state.pods, self.state.ready = int(status["replicas"]), int(status["readyReplicas"])
        self.state.held = 0 if demand is None else demand.held
        self.state.in_flight = 0 if demand is None else demand.in_flight

    def _model(self) -> Body:
        body = self._cluster.get(names.MODEL_KIND, self._key.name)
        if body is None:
            raise LocalError(f"model {self._key.name} is gone")
        return body

    def _observed(self) -> Observed:
        children = {
            (DEPLOYMENT, body["metadata"]["name"]): body for body in self._cluster.of_kind(DEPLOYMENT)
        }
        return Observed(children=children, pods=self._cluster.of_kind(POD))


class _Events:
    """EventSink: what would be an Event is a line of the log."""

    def publish(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, message: str) -> None:
        """Log it."""
        level = logging.WARNING if is_warning else logging.INFO
        _LOG.log(level, "model=%s %s: %s", body["metadata"]["name"], reason, message)


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Raise what ends first; none of them ends on its own."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = task.exception()
        raise LocalError(f"{task.get_name()} ended: {error or 'without a word'}") from error


async def _connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _watch(envoy: asyncio.subprocess.Process, log: Path) -> None:
    code = await envoy.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()  # noqa: ASYNC240 - once, at the end
    # Its own lines; the others are of the access log.
    words = [line for line in lines if line.startswith("[")][-1:]
    raise LocalError(f"Envoy ended with {code}: {' '.join(words) or 'it said nothing'}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
