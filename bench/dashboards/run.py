"""One run: control plane, operator, gateway, played kubelet with real servers, Prometheus; load; then every panel is asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.settings import Settings
from atheria_local.control_plane import ControlPlane
from atheria_operator import settings as operator_settings
from bench import installation
from bench.chaos.api import Api
from bench.chaos.kubelet import Kubelet
from bench.chaos.parts import Part
from bench.chaos.world import NAMESPACE, World, eventually, models_path
from bench.dashboards import panels, prometheus
from bench.dashboards.callers import Callers
from bench.dashboards.models import PROFILE_BODY, Served, keep_worth

ACTIVATOR_METRICS_PORT: Final = 9091
GATEWAY: Final = f"127.0.0.1:{names.PORT_GRPC}"
START_SECONDS: Final = 180.0
PATIENCE_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.5
RATE_SECONDS: Final = 4 * prometheus.SCRAPE_SECONDS
"""Grafana's own rule for $__rate_interval, at the shortest."""
BOARDS: Final = installation.CHART / "dashboards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is asked for."""

    models: tuple[Served, ...]
    """The first one has an evaluation."""
    seconds: float
    """Of load once each model has answered."""
    callers: int
    waves: bool = False
    """Fewer and more callers in turn, for pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one query found."""

    asked: panels.Asked
    complaint: str
    series: int


class Run:
    """`run` once; `folder` keeps logs and Prometheus' data."""

    def __init__(self, options: Options, folder: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._folder = folder
        self._say = say
        self._targets = folder / "pods.json"
        self._callers = [
            Callers(target=GATEWAY, namespace=NAMESPACE, model=model) for model in options.models
        ]

    async def run(self) -> tuple[Result, ...]:
        """All of it. RuntimeError for a call that failed and was not meant to."""
        with ControlPlane(controllers=True) as plane:
            async with Api(plane.kubeconfig) as api:
                return await self._on(World(plane, api), api, plane)

    async def _on(self, world: World, api: Api, plane: ControlPlane) -> tuple[Result, ...]:
        operator_file, gateway_file = await asyncio.to_thread(world.install, self._folder)
        await asyncio.to_thread(_apply, plane.kubectl, PROFILE_BODY)
        kubelet = Kubelet(api, self._folder)
        parts = (
            self._operator(operator_file),
            *self._gateway(gateway_file),
            self._prometheus(),
        )
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(part.run(), name=part.name) for part in parts]
            background.append(tasks.create_task(kubelet.run(), name="kubelet"))
            background.append(tasks.create_task(self._tell_pods(kubelet), name="targets"))
            for model in self._options.models:
                world.specs[model.name] = dict(model.spec)
            evaluated = self._options.models[0]
            world.specs[evaluated.name] = keep_worth(evaluated, str(self._folder / "cache"))
            for model in self._options.models:
                await world.create(model.name)
            for model in self._options.models:
                await eventually(
                    f"a revision of {model.name}", partial(_active, api, model.name), START_SECONDS
                )
            async with prometheus.Answers() as answers:
                await answers.wait()
                results = await self._load_and_ask(answers)
            for task in background:
                task.cancel()
        kubelet.kill_all()
        self._judge_calls()
        return results

    def _operator(self, kubeconfig: Path) -> Part:
        environment = installation.operator_environment(
            kubeconfig,
            ATHERIA_DEMAND_PORT=str(names.PORT_DEMAND),
            ATHERIA_METRICS_PORT=str(names.PORT_METRICS),
        )
        environment[operator_settings.ENV_RESYNC_SECONDS] = "3"
        program = installation.program("atheria-operator")
        return Part("operator", [program], environment, self._folder / "operator.log", self._say)

    def _gateway(self, kubeconfig: Path) -> tuple[Part, Part]:
        sockets = self._folder / "gateway"
        sockets.mkdir()
        environment = installation.activator_environment(
            kubeconfig,
            run_directory=sockets,
            demand_target=f"127.0.0.1:{names.PORT_DEMAND}",
            metrics_port=ACTIVATOR_METRICS_PORT,
        )
        program = installation.program("atheria-gateway")
        settings = Settings(run_directory=str(sockets), pod_namespace=installation.SYSTEM_NAMESPACE)
        bootstrap = write_bootstrap(sockets, settings, listen_address="127.0.0.1")
        return (
            Part("activator", [program], environment, self._folder / "activator.log", self._say),
            Part(
                "Envoy",
                installation.envoy_command(bootstrap),
                None,
                self._folder / "envoy.log",
                self._say,
            ),
        )

    async def _tell_pods(self, kubelet: Kubelet) -> None:
        """Which pods there are to scrape, until cancelled."""
        before = ""
        while True:
            said = prometheus.pod_targets({pod.name: pod.address for pod in kubelet.running()}, NAMESPACE)
            if said != before:
                part = self._targets.with_suffix(".part")
                part.write_text(said, encoding="utf-8")
                part.rename(self._targets)
                before = said
            await asyncio.sleep(_LOOK_SECONDS)

    def _prometheus(self) -> Part:
        file = self._folder / "prometheus.yaml"
        file.write_text(
            prometheus.configuration(self._targets, names.PORT_METRICS, ACTIVATOR_METRICS_PORT),
            encoding="utf-8",
        )
        command = prometheus.command(file, self._folder / "prometheus")
        return Part("Prometheus", command, None, self._folder / "prometheus.log", self._say)

    async def _load_and_ask(self, answers: prometheus.Answers) -> tuple[Result, ...]:
        """From the first call, which wakes the model, until `seconds` after the last model's first answer.

        On a slow machine some figures come later: what has no data yet is asked again while the load goes on.
        """
        stop, begin = asyncio.Event(), time.time()
        async with asyncio.TaskGroup() as tasks:
            for one in self._callers:
                tasks.create_task(one.run(self._options.callers, stop), name=f"callers of {one.model.name}")
            async with asyncio.timeout(START_SECONDS):
                for one in self._callers:
                    await one.first.wait()
                    self._say(f"{one.model.name} answers")
            if self._options.waves:
                await self._waves()
            else:
                await asyncio.sleep(self._options.seconds)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                results = await self._ask(answers, begin, time.time())
                if time.monotonic() > deadline or not any(one.complaint for one in results):
                    break
                await asyncio.sleep(1)
            stop.set()
        return results

    async def _waves(self) -> None:
        """More callers for a while, thrice."""
        third = self._options.seconds / 3
        for number in range(3):
            more = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                for one in self._callers:
                    tasks.create_task(one.run(self._options.callers * (number % 2 * 3 + 1), more))
                await asyncio.sleep(third)
                more.set()

    async def _ask(self, answers: prometheus.Answers, begin: float, end: float) -> tuple[Result, ...]:
        variables = {
            "__rate_interval": f"{RATE_SECONDS}s",
            "__range": f"{max(RATE_SECONDS, int(end - begin))}s",
            "namespace": NAMESPACE,
            "model": "|".join(model.name for model in self._options.models),
            "node": ".*",
        }
        results = []
        for file in sorted(BOARDS.glob("*.json")):
            for asked in panels.queries(json.loads(file.read_text(encoding="utf-8")), variables):
                if asked.is_instant:
                    found = await answers.instant(asked.query, end)
                else:
                    found = await answers.over(asked.query, begin, end, prometheus.SCRAPE_SECONDS)
                results.append(
                    Result(asked=asked, complaint=panels.complaint(asked, found), series=len(found))
                )
        return tuple(results)

    def _judge_calls(self) -> None:
        for one in self._callers:
            self._say(f"{one.model.name}: {one.answered} answered, {one.refused} refused as they had to be")
            if one.failures:
                raise RuntimeError(f"{len(one.failures)} calls of {one.model.name} failed: {one.failures[0]}")


async def _active(api: Api, model: str) -> bool:
    found = await api.call("GET", f"{models_path()}/{model}")
    return bool(found.get("status", {}).get("activeRevision"))


def _apply(kubectl: Sequence[str], body: dict[str, Any]) -> None:
    done = subprocess.run(
        [*kubectl, "apply", "-f", "-"],
        input=json.dumps(body),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"kubectl apply: {done.stderr.strip()}")
