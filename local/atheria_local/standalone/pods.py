"""As many server processes as the Deployment asks for: what kubelet and ReplicaSet would do. Run by `stack`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp

from atheria_contract import names
from atheria_contract.serving import ServingConfig
from atheria_local.standalone.memory_cluster import DEPLOYMENT, POD, SLICE, MemoryCluster
from atheria_local.standalone.objects import Pod, pod_object, slice_object
from atheria_local.standalone.parent import bound_to_this_process

_LOG = logging.getLogger(__name__)
PROBE_SECONDS: Final = 0.1
"""Between two looks at a starting pod's readiness."""
END_SECONDS: Final = 10.0
"""After SIGTERM; then it is killed."""
_RESTART_SECONDS: Final = 5.0
"""Before a pod that died is made anew."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Running:
    pod: Pod
    process: asyncio.subprocess.Process
    follower: asyncio.Task[None] | None = None


class Pods:
    """The server processes of one revision; pods and EndpointSlices in the cluster say how they are."""

    def __init__(
        self,
        cluster: MemoryCluster,
        serving: ServingConfig,
        revision: tuple[str, str],
        folder: Path,
        now: Callable[[], str],
    ) -> None:
        """`revision` is the Deployment's name and its hash; logs and configurations go to `folder`."""
        # Two of these at once on one machine have networks of their own.
        self._network = f"127.{16 + os.getpid() % 200}"
        self._cluster = cluster
        self._serving = serving
        self._deployment, self._hash = revision
        self._folder = folder
        self._now = now
        self._running: dict[str, _Running] = {}
        self._made = 0
        self._not_before_seconds = 0.0
        self.deaths = 0
        """Servers that ended unasked, since one was ready."""
        self.last_words = ""
        """Of the last one of them."""

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Those that are not going away, oldest first."""
        return tuple(one.pod for one in self._running.values())

    async def match(self) -> None:
        """Start or end one process where there are too few or too many; to be called after each change and now and then."""
        deployment = self._cluster.get(DEPLOYMENT, self._deployment)
        wanted = 0 if deployment is None else int(deployment["spec"].get("replicas") or 0)
        clock = asyncio.get_running_loop().time
        while len(self._running) < wanted and clock() >= self._not_before_seconds:
            await self._start()
        while len(self._running) > wanted:
            self._end(min(self._running.values(), key=self._rank))

    async def close(self) -> None:
        """End all, and wait for it."""
        ending = [one.follower for one in self._running.values() if one.follower]
        for one in tuple(self._running.values()):
            self._end(one)
        await asyncio.gather(*ending, return_exceptions=True)

    def _rank(self, one: _Running) -> tuple[bool, int, str]:
        """As a ReplicaSet chooses: unready ones first, then by deletion cost, then the newest; names count up."""
        body = self._cluster.get(POD, one.pod.name)
        annotations = (body or {"metadata": {}})["metadata"].get("annotations") or {}
        cost = int(annotations.get(names.ANNOTATION_DELETION_COST) or 0)
        return one.pod.is_ready, cost, f"{999999 - int(one.pod.name.rpartition('-')[2]):06d}"

    async def _start(self) -> None:
        self._made += 1
        pod = Pod(
            name=f"{self._deployment}-{self._made}",
            address=f"{self._network}.{self._made // 200}.{self._made % 200 + 1}",
            created=self._now(),
        )
        config = replace(self._serving, host=pod.address)
        file = self._folder / f"{pod.name}.json"
        file.write_text(config.to_json(), encoding="utf-8")
        with (self._folder / f"{pod.name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *bound_to_this_process(
                    (sys.executable, "-m", "atheria_server", "serve", "--config", str(file))
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"OMP_NUM_THREADS": "1", **os.environ},
            )
        _LOG.info("pod=%s started pid=%s", pod.name, process.pid)
        one = _Running(pod=pod, process=process)
        self._running[pod.name] = one
        self._tell(one)
        one.follower = asyncio.create_task(self._follow(one))

    async def _follow(self, one: _Running) -> None:
        """Until the process has ended: tell when it is ready, and that it is gone."""
        ended = asyncio.create_task(one.process.wait())
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
                url = f"http://{one.pod.address}:{names.PORT_HTTP}{names.PATH_READY}"
                while not ended.done():
                    is_ready = await _answers(http, url)
                    self.deaths = 0 if is_ready else self.deaths
                    if is_ready != one.pod.is_ready and one.pod.name in self._running:
                        one.pod = replace(one.pod, is_ready=is_ready)
                        self._tell(one)
                    await asyncio.wait({ended}, timeout=PROBE_SECONDS if not is_ready else 1.0)
        finally:
            if not ended.done():
                one.process.kill()
            code = await ended
        if one.pod.name in self._running:
            self.deaths += 1
            log = self._folder / f"{one.pod.name}.log"
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            self.last_words = f"exit status {code}: {lines[-1] if lines else 'it said nothing'}"
            _LOG.warning("pod=%s died with %s", one.pod.name, self.last_words)
            self._not_before_seconds = asyncio.get_running_loop().time() + _RESTART_SECONDS
            self._forget(one)

    def _end(self, one: _Running) -> None:
        """It takes no new calls from now on, finishes those that it has, and ends; the follower waits for that."""
        self._forget(one)
        if one.process.returncode is None:
            one.process.terminate()
            asyncio.get_running_loop().call_later(END_SECONDS, _kill, one.process)

    def _forget(self, one: _Running) -> None:
        self._running.pop(one.pod.name, None)
        self._cluster.remove(SLICE, f"{one.pod.name}-slice")
        self._cluster.remove(POD, one.pod.name)

    def _tell(self, one: _Running) -> None:
        model = self._serving.name
        self._cluster.put(SLICE, slice_object(one.pod, model, self._hash))
        self._cluster.put(POD, pod_object(one.pod, model, self._hash))


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except (OSError, TimeoutError, aiohttp.ClientError):
        return False


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
