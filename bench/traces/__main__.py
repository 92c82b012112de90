"""Holds one call of a model at zero, starts its pod when it is woken, and draws the call's trace. `python -m bench.traces`.

Envoy, activator, model server and their spans are real; only the Kubernetes API is played: the pod is a process of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from atheria_contract import names
from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.app import run
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, Listed, ScaleTarget, Watched, WatchEvent
from atheria_gateway.settings import settings_from
from atheria_local.free_ports import free_port
from bench.installation import program
from bench.serving.processes import ServerProcess
from bench.traces.collector import Collector, Span
from bench.traces.plot import plot

_ROOT: Final = Path(__file__).parents[2]
_PICTURE: Final = _ROOT / "docs" / "images" / "trace-held-call.svg"
_KEY: Final = ModelKey(namespace="demo", name="qca")
_REVISION: Final = "7f0c2a91be"
_PATIENCE_SECONDS: Final = 180.0
_ENDS: Final = {"gateway", "hold", "encode"}
"""Spans that are there when all of them are: the last of each sender."""


class Cluster:
    """KubePort on one model at zero, whose pod is started by its wake."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self._pod: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

    def add_pod(self, ports: tuple[int, int]) -> None:
        """It is ready."""
        self._pod.set_result(ports)

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        """The model, and its pod once it is there."""
        yield Listed(objects=(_model(0),) if watched is Watched.MODELS else ())
        if watched is Watched.MODELS:
            await self.woken.wait()
            yield Changed(body=_model(1))
        if watched is Watched.SLICES:
            yield Changed(body=_slice(await self._pod))
        await asyncio.Event().wait()

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:  # noqa: ARG002 - the port's
        """As the API server would: the first patch changes something."""
        is_first = not self.woken.is_set()
        self.woken.set()
        return is_first

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        """Nobody reads it."""


def _model(replicas: int) -> dict[str, Any]:
    return {
        "metadata": {"namespace": _KEY.namespace, "name": _KEY.name, "uid": "1"},
        "spec": {"replicas": replicas},
        "status": {"activeRevision": f"{_KEY.name}-{_REVISION}"},
    }


def _slice(ports: tuple[int, int]) -> dict[str, Any]:
    labels = {
        names.LABEL_ROLE: names.ROLE_PODS,
        names.LABEL_MODEL: _KEY.name,
        names.LABEL_REVISION: _REVISION,
    }
    return {
        "metadata": {"namespace": _KEY.namespace, "name": f"{_KEY.name}-{_REVISION}", "labels": labels},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [
            {"name": names.PORT_NAME_GRPC, "port": ports[0]},
            {"name": names.PORT_NAME_HTTP, "port": ports[1]},
        ],
    }


async def _held_call(folder: Path, collector: Collector) -> list[Span]:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        names.ENV_LOG_FORMAT: "json",
        "ATHERIA_RUN_DIRECTORY": str(folder),
        "ATHERIA_METRICS_PORT": str(free_port()),
    }
    os.environ |= environment
    settings = settings_from(environment)
    port, cluster = free_port(), Cluster()
    bootstrap = write_bootstrap(folder, settings, listen_address="127.0.0.1", ports=(port, free_port()))
    envoy = (
        program("envoy"),
        "-c",
        str(bootstrap),
        "--concurrency",
        "1",
        "-l",
        "warning",
        "--disable-hot-restart",
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(ServerProcess(envoy, folder / "envoy.log", {}, _ROOT))
        stop = asyncio.Event()
        activator = asyncio.create_task(run(settings, cluster, environment, stop))
        stack.push_async_callback(_ended, activator, stop)
        call = asyncio.create_task(asyncio.to_thread(_infer, f"127.0.0.1:{port}"))
        await asyncio.wait_for(cluster.woken.wait(), _PATIENCE_SECONDS)
        ports = free_port(), free_port()
        command = (
            *(
                sys.executable,
                "-m",
                "atheria_server",
                "serve",
                "builtin://qca",
                "--name",
                _KEY.name,
                "--host",
                "127.0.0.1",
            ),
            *("--grpc-port", str(ports[0]), "--http-port", str(ports[1])),
        )
        server = {"OTEL_SERVICE_NAME": _KEY.name, "OTEL_TRACES_SAMPLER": "parentbased_always_off"}
        stack.enter_context(ServerProcess(command, folder / "server.log", server, _ROOT))
        await asyncio.to_thread(_until_ready, ports[1])
        cluster.add_pod(ports)
        await asyncio.wait_for(call, _PATIENCE_SECONDS)
        end = time.monotonic() + _PATIENCE_SECONDS
        while not {span.name for span in collector.spans()} >= _ENDS:
            if time.monotonic() > end:
                raise TimeoutError(f"spans {sorted(_ENDS)} did not come within {_PATIENCE_SECONDS:g} s")
            await asyncio.sleep(0.1)
    return collector.spans()


async def _ended(activator: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    await asyncio.wait_for(activator, _PATIENCE_SECONDS)


def _infer(target: str) -> None:
    request = pb.ModelInferRequest(model_name=_KEY.name, id="first")
    request.inputs.add(name="seed", datatype="INT64", shape=(1,))
    request.raw_input_contents.append(np.array([7], np.int64).tobytes())
    with grpc.insecure_channel(target) as channel:
        GRPCInferenceServiceStub(channel).ModelInfer(  # type: ignore[no-untyped-call]
            request,
            timeout=_PATIENCE_SECONDS,
            metadata=[(names.HEADER_MODEL, str(_KEY))],
            wait_for_ready=True,
        )


def _until_ready(port: int) -> None:
    """As kubelet asks it."""
    end = time.monotonic() + _PATIENCE_SECONDS
    url = f"http://127.0.0.1:{port}{names.PATH_READY}?{names.QUERY_READY_WAIT}=0.9"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise TimeoutError(f"the server was not ready within {_PATIENCE_SECONDS:g} s") from None
            time.sleep(0.05)


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.traces", description=__doc__)
    parser.add_argument("--picture", type=Path, default=_PICTURE, metavar="FILE", help="SVG to write")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the spans there")
    parser.add_argument(
        "--logs", action="store_true", help="show what Envoy and the server logged about the call"
    )
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="FILE", help="draw these spans (--json), run nothing"
    )
    options = parser.parse_args()
    if options.source:
        plot(options.picture, [Span(**one) for one in json.loads(options.source.read_text(encoding="utf-8"))])
        return 0
    with tempfile.TemporaryDirectory(prefix="trace-") as name, Collector() as collector:
        folder = Path(name)
        spans = asyncio.run(_held_call(folder, collector))
        if options.logs:
            for file in ("envoy.log", "server.log"):
                sys.stdout.write((folder / file).read_text(encoding="utf-8"))
    [trace_id] = {span.trace_id for span in spans}
    if options.json:
        options.json.write_text(
            json.dumps([asdict(span) for span in spans], indent=1) + "\n", encoding="utf-8"
        )
    plot(options.picture, spans)
    sys.stdout.write(f"trace {trace_id}: {len(spans)} spans, {options.picture}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
