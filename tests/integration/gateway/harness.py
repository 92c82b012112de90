"""A real Envoy, an activator over an in-memory Kubernetes, and gRPC backends that stand for pods."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from aiohttp import web

from atheria_contract import names
from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_gateway.adapters.fleet_http import serve_fleet
from atheria_gateway.adapters.probe import TcpProbe
from atheria_gateway.app import envoy_options, serve
from atheria_gateway.core.demand import Demand
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.runtime.fleet import FleetPage
from atheria_gateway.runtime.hold_spans import HoldSpans
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import (
    Changed,
    Deleted,
    Listed,
    ScaleTarget,
    StandbyPort,
    Watched,
    WatchEvent,
)
from atheria_gateway.settings import Settings
from atheria_local.free_ports import free_port

QCA = ModelKey(namespace="demo", name="qca")
WAIT_S = 60.0
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
"""As the model server's."""


async def eventually(what: str, condition: Callable[[], bool], limit_s: float = WAIT_S) -> None:
    """Wait until a condition holds, or fail with what was awaited."""
    try:
        async with asyncio.timeout(limit_s):
            while not condition():  # noqa: ASYNC110 - other processes set no events
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {limit_s:g} s: {what}") from None


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; what it failed with is raised, and AssertionError with all stacks where it does not end."""
    task.cancel()
    await asyncio.wait([task], timeout=WAIT_S)
    if not task.done():
        stacks = io.StringIO()
        for one in asyncio.all_tasks():
            one.print_stack(file=stacks)
        raise AssertionError(f"cancelled, and not ended within {WAIT_S:g} s: {task!r}\n{stacks.getvalue()}")
    with contextlib.suppress(asyncio.CancelledError):
        task.result()


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


def certificate(directory: Path, name: str, authority: str | None = None) -> None:
    """`name`.crt and `name`.key in the folder, of `authority` or of itself, for localhost and qca.demo."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    signed = (
        ("-CA", f"{directory}/{authority}.crt", "-CAkey", f"{directory}/{authority}.key") if authority else ()
    )
    _openssl(
        *("req", "-x509", *key, *signed, "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", "subjectAltName=DNS:localhost,DNS:qca.demo", "-keyout", f"{directory}/{name}.key"),
        *("-out", f"{directory}/{name}.crt"),
    )


def model_object(
    key: ModelKey, *, replicas: int = 0, queue_limit: int = 512, batch_size: int = 8, idempotent: bool = False
) -> dict[str, Any]:
    """An AtheriaModel as the API server gives it."""
    return {
        "metadata": {"namespace": key.namespace, "name": key.name, "uid": f"uid-{key.name}"},
        "spec": {
            "model": {"idempotent": idempotent},
            "replicas": replicas,
            "batching": {"maxBatchSize": batch_size},
            "concurrency": {"maxQueueDepth": queue_limit},
        },
        "status": {"activeRevision": f"{key.name}-abc123", "phase": "ScaledToZero"},
    }


def slice_object(
    key: ModelKey, ports: tuple[int, int] | None, revision: str = "abc123", suffix: str = "x"
) -> dict[str, Any]:
    """The EndpointSlice of the model's pods: one pod on 127.0.0.1, or none."""
    endpoints = [] if ports is None else [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
    grpc_port, http_port = ports or (names.PORT_GRPC, names.PORT_HTTP)
    return {
        "metadata": {
            "namespace": key.namespace,
            "name": f"{key.name}-{revision}-{suffix}",
            "labels": {
                names.LABEL_ROLE: names.ROLE_PODS,
                names.LABEL_MODEL: key.name,
                names.LABEL_REVISION: revision,
            },
        },
        "endpoints": endpoints,
        "ports": [{"name": "grpc", "port": grpc_port}, {"name": "http", "port": http_port}],
    }


class FakeKube:
    """KubePort in memory."""

    def __init__(self) -> None:
        self.objects: dict[Watched, dict[tuple[str, str], dict[str, Any]]] = {
            watched: {} for watched in Watched
        }
        self.patches: list[tuple[ScaleTarget, ModelKey]] = []
        self.applied: list[Mapping[str, Any]] = []
        self.on_scale: Callable[[ModelKey], None] = lambda _: None
        self.is_listed = True
        """False before the activator starts: its API server does not answer."""
        self._queues: list[tuple[Watched, asyncio.Queue[WatchEvent]]] = []

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._queues.append((watched, queue))
        if self.is_listed:
            yield Listed(objects=tuple(self.objects[watched].values()))
        while True:
            yield await queue.get()

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:
        self.patches.append((target, key))
        if target is ScaleTarget.MODEL:
            self.on_scale(key)
        return True

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        self.applied.append(body)
        self.put(Watched.SLICES, dict(body))

    def put(self, watched: Watched, body: dict[str, Any]) -> None:
        self.objects[watched][(body["metadata"]["namespace"], body["metadata"]["name"])] = body
        self._send(watched, Changed(body=body))

    def delete(self, watched: Watched, namespace: str, name: str) -> None:
        self._send(watched, Deleted(body=self.objects[watched].pop((namespace, name))))

    def set_pod(self, key: ModelKey, ports: tuple[int, int] | None) -> None:
        self.put(Watched.SLICES, slice_object(key, ports))

    def add_pod(self, key: ModelKey, ports: tuple[int, int] | None, number: int) -> None:
        """One more pod, in a slice of its own: on one address the pods differ by their ports."""
        self.put(Watched.SLICES, slice_object(key, ports, suffix=str(number)))

    def _send(self, watched: Watched, event: WatchEvent) -> None:
        for kind, queue in self._queues:
            if kind is watched:
                queue.put_nowait(event)


class Demands:
    """DemandPort that keeps all reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[Demand, ...]] = []

    def offer(self, demand: tuple[Demand, ...]) -> None:
        self.reports.append(demand)


class Pod:
    """A backend with a gRPC echo service and a REST answer."""

    def __init__(self, name: str = "pod", address: str = "127.0.0.1") -> None:
        self.name = name
        self.address = address
        self.calls = 0
        self.refusals = 0
        self.is_draining = False
        """Refuse calls as a server does between SIGTERM and its end."""
        self.gate: asyncio.Event | None = None
        """Answer only after it is set."""
        self.running = 0
        self.most_running = 0
        self.fails = False
        """Answer calls with an error of its own."""
        self.failures = 0
        self.metadata: list[dict[str, Any]] = []
        self.upgrades: list[tuple[str, Mapping[str, str]]] = []
        """Path with its query, and headers, of the WebSockets that were opened."""
        self.ports = (0, 0)
        self._server: grpc.aio.Server | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> Pod:
        async def unary(request: bytes, context: Any) -> bytes:
            if self.is_draining:
                self.refusals += 1
                refused = ((names.HEADER_REFUSED, names.REFUSED_DRAINING),)
                await context.abort(grpc.StatusCode.UNAVAILABLE, "draining", refused)
            if self.fails:
                self.failures += 1
                await context.abort(grpc.StatusCode.INTERNAL, "broken")
            self.calls += 1
            self.metadata.append(dict(context.invocation_metadata()))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                if self.gate is not None:
                    await self.gate.wait()
            finally:
                self.running -= 1
            return request

        async def bidi(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for message in requests:
                yield message

        handler = grpc.method_handlers_generic_handler(
            "t.S",
            {
                "Unary": grpc.unary_unary_rpc_method_handler(unary),
                "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
            },
        )
        self._server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES)]
        )
        self._server.add_generic_rpc_handlers((handler,))
        grpc_port = self._server.add_insecure_port(f"{self.address}:0")
        await self._server.start()

        async def rest(request: web.Request) -> web.StreamResponse:
            if request.headers.get("upgrade", "").lower() == "websocket":
                self.upgrades.append((request.path_qs, dict(request.headers)))
                ws = web.WebSocketResponse()
                await ws.prepare(request)
                async for message in ws:
                    await ws.send_str(message.data)
                return ws
            if self.is_draining:
                self.refusals += 1
                return web.json_response(
                    {"error": "draining"}, status=503, headers={names.HEADER_REFUSED: names.REFUSED_DRAINING}
                )
            return web.json_response(
                {"pod": self.name, "path": request.path, "bytes": len(await request.read())}
            )

        app = web.Application(client_max_size=MESSAGE_LIMIT_BYTES)
        app.router.add_route("*", "/{tail:.*}", rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        http_port = free_port()
        await web.TCPSite(self._runner, self.address, http_port).start()
        self.ports = (grpc_port, http_port)
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0.5)
        if self._runner is not None:
            await self._runner.cleanup()


class Gateway:
    """One gateway: Envoy as a process, and an activator in this process or none."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.directory = directory
        self.settings = Settings(run_directory=str(directory), pod_namespace="atheria-system", **changes)
        self.listen_address = "127.0.0.1"
        self.ports = (free_port(), free_port())
        self.health_port = free_port()
        self.kube = FakeKube()
        self.demands = Demands()
        self.standby: StandbyPort | None = None
        """Before the activator starts: who wakes pods in standby."""
        self.measures = Measures()
        self.spans: HoldSpans | None = None
        """Before the activator starts: who makes its spans."""
        self.activator: Activator | None = None
        self.kill_envoy: Callable[[], Awaitable[Any]]
        self.stop_activator: Callable[[], Awaitable[Any]]
        self._cleanup: list[Callable[[], Awaitable[Any]]] = []

    @property
    def active(self) -> Activator:
        assert self.activator is not None
        return self.activator

    def held(self, key: ModelKey = QCA) -> int:
        return self.active.holds.held(key)

    async def start_activator(self) -> None:
        token = Path(self.settings.token_file).read_text(encoding="utf-8")  # noqa: ASYNC240 - small
        envoy = EnvoyAdmin(self.settings.admin_socket)
        self.activator = Activator(
            settings=self.settings,
            options=envoy_options(self.settings, token),
            kube=self.kube,
            envoy=envoy,
            probe=TcpProbe(),
            demand=self.demands,
            measures=self.measures,
            standby=self.standby,
        )
        server = await serve(self.activator, self.settings.activator_socket, self.spans)
        figures = (
            await serve_fleet(socket=self.settings.live_socket, body=FleetPage(self.activator.fleet).body)
            if self.settings.has_live_page
            else None
        )
        task = asyncio.create_task(self.activator.run())

        async def stop() -> None:
            await _ended(task)
            await server.stop(0)
            if figures is not None:
                await figures.cleanup()
            await envoy.close()

        self.stop_activator = stop
        self._cleanup.append(stop)

    async def start_envoy(self) -> None:
        file = write_bootstrap(
            self.directory,
            self.settings,
            listen_address=self.listen_address,
            ports=self.ports,
            health_port=self.health_port,
        )
        log = (self.directory / "envoy.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("envoy")),
            *("-c", str(file), "--concurrency", "1", "-l", "warning", "--disable-hot-restart"),
            *("--file-flush-interval-msec", "50"),
            stdout=log,
            stderr=log,
        )

        async def stop() -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()
            log.close()

        self.kill_envoy = stop
        self._cleanup.append(stop)

    async def wait_until_routed(self) -> None:
        """Until both data listeners are open, which is when the first routes are in."""

        async def opened() -> bool:
            for port in self.ports:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    return False
                writer.close()
            return True

        async with asyncio.timeout(WAIT_S):
            while not await opened():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)

    async def envoy_bytes(self) -> int:
        """Bytes that Envoy has allocated."""
        return int(json.loads(await self._ask_envoy("memory"))["allocated"])

    async def wait_until_known(self, model: ModelKey) -> None:
        """Until Envoy's routes name the model: what another process has watched comes to it a moment later."""
        async with asyncio.timeout(WAIT_S):
            while str(model) not in await self._ask_envoy("config_dump?resource=dynamic_route_configs"):  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.05)

    async def _ask_envoy(self, path: str) -> str:
        connector = aiohttp.UnixConnector(path=self.settings.admin_socket)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://envoy/{path}") as answer,
        ):
            return await answer.text()

    def envoy_lines(self) -> list[str]:
        """What Envoy has written."""
        return (self.directory / "envoy.log").read_text(encoding="utf-8").splitlines()

    def channel(self, authority: str | None = None) -> grpc.aio.Channel:
        """A channel of its own to the gateway's gRPC port."""
        options: list[tuple[str, Any]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
        ]
        if authority is not None:
            options.append(("grpc.default_authority", authority))
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.ports[0]}", options=options)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[1]}{path}"

    async def stop(self) -> None:
        for stop in reversed(self._cleanup):
            await stop()


os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
