"""Plays scheduler and kubelet: each pod of a model gets a node, an address of its own and a real server process.

A deleted pod gets SIGTERM, its grace and then SIGKILL; one deleted by force, SIGKILL. A container that ends is started again in its
pod, after kubelet's back-off (shortened). What is not played: images, and volumes other than the ConfigMap and
a cache of the node.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, Final

import aiohttp

from atheria_contract import names
from bench.chaos import node
from bench.chaos.api import CONFLICT, MERGE, NOT_FOUND, Api, ApiError
from bench.chaos.containers import Container, status_of
from bench.chaos.records import END_OF_RUN, FORCED, GRACE_ENDED, Life

BACKOFF_SECONDS: Final = (0.5, 2.0, 4.0, 8.0)


class Kubelet:
    """`run` until cancelled; a failure of any pod's task is raised."""

    def __init__(self, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._pods: dict[str, PlayedPod] = {}
        self._addresses = 0
        self.lives: list[Life] = []
        """Of all containers there have been."""

    @property
    def pods(self) -> list[PlayedPod]:
        """Pods whose life goes on, by name."""
        return sorted((pod for pod in self._pods.values() if not pod.is_over), key=lambda pod: pod.name)

    def running(self, model: str = "") -> list[PlayedPod]:
        """Those whose server runs and is not told to end."""
        return [
            pod
            for pod in self.pods
            if pod.container is not None and not pod.is_leaving and model in ("", pod.model)
        ]

    async def run(self) -> None:
        """Follow the pods of all models."""
        await node.register(self._api)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(node.keep_alive(self._api), name="node")
            async for objects in self._api.follow("/api/v1/pods", names.LABEL_MODEL):
                for uid, body in objects.items():
                    if uid not in self._pods:
                        self._addresses += 1
                        address = f"10.244.{self._addresses // 250}.{self._addresses % 250 + 1}"
                        pod = self._pods[uid] = PlayedPod(self._api, self._folder, body, address, self.lives)
                        tasks.create_task(pod.live(session), name=f"pod {pod.name}")
                    self._pods[uid].see(body)
                for uid, pod in self._pods.items():
                    if uid not in objects:
                        pod.vanish()

    def kill_all(self) -> None:
        """The end of the run."""
        for pod in self.pods:
            if pod.container is not None:
                pod.container.kill(END_OF_RUN)


class PlayedPod:
    """One pod from its binding to its end."""

    def __init__(self, api: Api, folder: Path, body: dict[str, Any], address: str, lives: list[Life]) -> None:
        metadata = body["metadata"]
        self.name = str(metadata["name"])
        self.namespace = str(metadata["namespace"])
        self.model = str(metadata["labels"][names.LABEL_MODEL])
        self.container: Container | None = None
        self.address = address
        self._uid = str(metadata["uid"])
        self._path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self._api = api
        self._folder = folder
        self._body = body
        self._lives = lives
        self._is_gone = False
        self._has_run = False
        self.is_over = False
        """Nothing is left of it here."""
        self._changed = asyncio.Event()
        self._last_state: dict[str, Any] = {}

    @property
    def is_leaving(self) -> bool:
        """Whether it is being deleted or is gone."""
        return self._is_gone or bool(self._body["metadata"].get("deletionTimestamp"))

    def see(self, body: dict[str, Any]) -> None:
        """The pod as it is stored now."""
        self._body = body
        self._changed.set()

    def vanish(self) -> None:
        """It is stored no more."""
        self._is_gone = True
        self._changed.set()

    async def live(self, session: aiohttp.ClientSession) -> None:
        """Until it is deleted. ApiError when the API server refuses what kubelet may do."""
        with contextlib.suppress(_GoneError):
            await self._bind()
            restart = 0
            while not self.is_leaving:
                await self._run_container(session, restart)
                await self._sleep(BACKOFF_SECONDS[min(restart, len(BACKOFF_SECONDS) - 1)])
                restart += 1
            if not self._is_gone:
                body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}}
                await self._call("DELETE", self._path, body)
        self.is_over = True

    async def _bind(self) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": self.name},
            "target": {"kind": "Node", "name": node.NODE},
        }
        if not self._body["spec"].get("nodeName"):
            await self._call("POST", f"{self._path}/binding", body)
        await self._publish(state={"waiting": {"reason": "ContainerCreating"}}, restartCount=0)

    async def _run_container(self, session: aiohttp.ClientSession, restart: int) -> None:
        arguments = await self._mounted_arguments()
        if arguments is None:
            return
        container = await Container.start(
            folder=self._folder, pod=self.name, model=self.model, restart=restart, address=self.address, arguments=arguments
        )  # fmt: skip
        self.container = container
        self._has_run = True
        self._lives.append(container.life)
        ended = asyncio.create_task(container.wait())
        running = {"state": {"running": {"startedAt": _now()}}, "restartCount": restart}
        try:
            with contextlib.suppress(_GoneError):
                await self._publish(**running)
                await self._watch(container, ended, session, running)
            if self._is_gone:
                container.kill(FORCED)
            status = await ended
        finally:
            if not ended.done():
                container.kill(END_OF_RUN)
                await ended
            self.container = None
        self._last_state = {
            "terminated": {
                "exitCode": status if status >= 0 else 128 - status,
                "reason": "Completed" if status == 0 else "Error",
                "message": container.last_words() if status > 0 else "",
                "finishedAt": _now(),
            }
        }
        if not self._is_gone:
            await self._publish(state=self._last_state, restartCount=restart)

    async def _watch(
        self,
        container: Container,
        ended: asyncio.Task[int],
        session: aiohttp.ClientSession,
        running: dict[str, Any],
    ) -> None:
        """Probe until it ends; end it when its pod is deleted."""
        period = float(self._body["spec"]["containers"][0]["readinessProbe"]["periodSeconds"])
        kill_at: float | None = None
        while not ended.done() and not self._is_gone:
            if kill_at is None and self.is_leaving:
                grace = self._body["metadata"].get("deletionGracePeriodSeconds")
                kill_at = time.monotonic() + float(30 if grace is None else grace)
                if grace == 0:
                    container.kill(FORCED)
                container.terminate()
            if kill_at is not None and time.monotonic() >= kill_at:
                container.kill(GRACE_ENDED)
            ready = await container.probe(session)
            if ready != container.is_ready and not ended.done():
                container.is_ready = ready
                await self._publish(**running)
            self._changed.clear()
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait({ended, changed}, timeout=period, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()

    async def _mounted_arguments(self) -> list[str] | None:
        """The container's arguments with its ConfigMap as a file; None when the pod goes before there is one."""
        spec = self._body["spec"]
        name = next(volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume)
        while not self.is_leaving:
            found = await self._api.find(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}")
            if found is not None:
                file = self._folder / f"{self.name}.json"
                config = found["data"][names.CONFIG_FILE]
                for volume in spec["volumes"]:
                    if "hostPath" in volume:
                        config = config.replace(names.CACHE_DIRECTORY, volume["hostPath"]["path"])
                file.write_text(config, encoding="utf-8")
                inside = f"{names.CONFIG_DIRECTORY}/{names.CONFIG_FILE}"
                return [part.replace(inside, str(file)) for part in spec["containers"][0]["args"]]
            await self._sleep(1.0)
        return None

    async def _publish(self, **container_status: Any) -> None:
        last = {"lastState": self._last_state} if self._last_state else {}
        status = status_of(self._body, self.container, **last, **container_status)
        if self._has_run:
            status |= {
                "phase": "Running",
                "podIP": self.address,
                "podIPs": [{"ip": self.address}],
                "hostIP": "127.0.0.1",
            }
        await self._call("PATCH", f"{self._path}/status", {"metadata": {"uid": self._uid}, "status": status})

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> None:
        """A request about this pod. _GoneError when it is not there any more."""
        kind = MERGE if method == "PATCH" else "application/json"
        try:
            await self._api.call(method, path, body, content_type=kind)
        except ApiError as error:
            if method == "POST" and error.status == CONFLICT:
                # Bound before an outage swallowed the answer.
                return
            if error.status not in (NOT_FOUND, CONFLICT):
                raise
            self._is_gone = True
            raise _GoneError from error

    async def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.is_leaving and (left := end - time.monotonic()) > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)


class _GoneError(Exception):
    """The pod was deleted while kubelet worked on it."""


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
