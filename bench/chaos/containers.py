"""One model server process of a played pod: the real `atheria-server`, on the pod's own address."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from atheria_contract import names
from atheria_server.engine.imports import WORKER_NAME
from bench.chaos import ledger
from bench.chaos.records import Life
from bench.installation import program

ROOT = Path(__file__).parents[2]
_PROBE = aiohttp.ClientTimeout(total=5)


@dataclass(slots=True, kw_only=True)
class Container:
    """A running server."""

    life: Life
    process: asyncio.subprocess.Process
    log: Path
    is_ready: bool = field(default=False)

    @classmethod
    async def start(
        cls, *, folder: Path, pod: str, model: str, restart: int, address: str, arguments: list[str]
    ) -> Container:
        """Start it as the container's arguments say; its ledger and log are in `folder`."""
        name = ledger.container_name(pod, restart)
        log = folder / f"{pod}.{restart}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "OMP_NUM_THREADS": "1",
            ledger.ENV_LEDGER: str(ledger.file_of(folder, name)),
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                program("atheria-server"), *arguments, "--host", address,
                env=environment, stdout=output, stderr=output, cwd=folder, start_new_session=True,
            )  # fmt: skip
        life = Life(container=name, address=address, model=model, started_seconds=time.monotonic())
        return cls(life=life, process=process, log=log)

    async def probe(self, session: aiohttp.ClientSession) -> bool:
        """Whether it says that it is ready."""
        url = f"http://{self.life.address}:{names.PORT_HTTP}{names.PATH_READY}"
        try:
            async with session.get(url, timeout=_PROBE) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def terminate(self) -> None:
        """SIGTERM to its first process, as kubelet does."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self, cause: str) -> None:
        """SIGKILL to all of its processes at once, as the end of a container does."""
        if self.process.returncode is None and not self.life.killed_by:
            self.life.killed_by = cause
            self.life.ended_seconds = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def kill_worker(self) -> bool:
        """SIGKILL to the process that computes, as for want of memory there; False when it has none at the moment."""
        pids = _workers_of(self.process.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if pids:
            self.life.worker_kills_seconds.append(time.monotonic())
        return bool(pids)

    async def wait(self) -> int:
        """Its exit status."""
        status = await self.process.wait()
        if self.life.ended_seconds is None:
            self.life.ended_seconds = time.monotonic()
        # Its workers are in its session; in a container they would end with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return status

    def last_words(self) -> str:
        """The end of its log, as kubelet gives it for a container that failed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-5:])[-2000:]


def _workers_of(pid: int) -> list[int]:
    """Children of a server's process that compute."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(child) for child in children if _name_of(child) == WORKER_NAME]


def _name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def status_of(pod: dict[str, Any], container: Container | None, **changed: Any) -> dict[str, Any]:
    """The status that kubelet writes for a pod with this container; `changed` fields of its containerStatus."""
    ready = container is not None and container.is_ready
    truth = "True" if ready else "False"
    before = {item["type"]: item for item in pod.get("status", {}).get("conditions") or ()}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def condition(kind: str, value: str) -> dict[str, str]:
        there = before.get(kind, {})
        since = there.get("lastTransitionTime") if there.get("status") == value else now
        return {"type": kind, "status": value, "lastTransitionTime": since or now}

    states: dict[str, Any] = {
        "name": names.CONTAINER_MODEL,
        "image": pod["spec"]["containers"][0]["image"],
        "imageID": "played",
        "ready": ready,
        "started": ready,
        **changed,
    }
    return {
        "phase": "Pending" if container is None else "Running",
        "conditions": [
            condition("PodScheduled", "True"),
            condition("Initialized", "True"),
            condition("ContainersReady", truth),
            condition("Ready", truth),
        ],
        "containerStatuses": [states],
    }
