"""The real parts of a run as processes that can be killed: operator, activator, Envoy. What ends is started again, as kubelet would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.settings import Settings
from bench import installation
from bench.chaos.load import HEADER_CALL

RESTART_SECONDS: Final = 1.0
_END_SECONDS: Final = 40.0


class Part:
    """One supervised process; `run` until cancelled."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str] | None,
        log: Path,
        tell: Callable[[str], None],
    ) -> None:
        self.name = name
        self.kills_seconds: list[float] = []
        self.own_ends: list[int] = []
        """Exit statuses of ends that nobody asked for."""
        self.log = log
        self._command = command
        self._environment = environment
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._down_seconds = RESTART_SECONDS
        self._was_asked = False

    @property
    def is_up(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.returncode is None

    async def run(self) -> None:
        """Start it, and again after each end."""
        try:
            while True:
                with self.log.open("ab") as output:
                    self._process = await asyncio.create_subprocess_exec(
                        *self._command, env=self._environment, stdout=output, stderr=output, start_new_session=True
                    )  # fmt: skip
                status = await self._process.wait()
                if not self._was_asked:
                    self.own_ends.append(status)
                    self._tell(f"{self.name} ended by itself with status {status}")
                pause, self._down_seconds, self._was_asked = self._down_seconds, RESTART_SECONDS, False
                await asyncio.sleep(pause)
        finally:
            await self.end()

    async def kill(self, down_seconds: float) -> None:
        """SIGKILL; it is started again after `down_seconds`."""
        await self._stop(signal.SIGKILL, down_seconds)

    async def terminate(self, down_seconds: float) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        await self._stop(signal.SIGTERM, down_seconds)

    async def freeze(self, seconds: float) -> None:
        """It does nothing for a while, as on a node that hangs."""
        if self._process is None or not self.is_up:
            return
        process = self._process
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """SIGKILL for good, once `run` is over."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _stop(self, number: signal.Signals, down_seconds: float) -> None:
        if self._process is None or not self.is_up:
            return
        self._was_asked, self._down_seconds = True, down_seconds
        self.kills_seconds.append(time.monotonic())
        process = self._process
        process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            self._tell(f"{self.name} outlived SIGTERM by {_END_SECONDS:g} s")
            process.kill()


def operator(kubeconfig: Path, folder: Path, tell: Callable[[str], None]) -> Part:
    """The operator, on its usual ports."""
    environment = installation.operator_environment(
        kubeconfig,
        ATHERIA_DEMAND_PORT=str(names.PORT_DEMAND),
        ATHERIA_METRICS_PORT=str(names.PORT_METRICS),
    )
    return Part(
        "operator", [installation.program("atheria-operator")], environment, folder / "operator.log", tell
    )


def activator(
    name: str, kubeconfig: Path, run_directory: Path, tell: Callable[[str], None], *, metrics_port: int
) -> Part:
    """The activator of a gateway called `name`, which reports to the operator; its log is beside `run_directory`."""
    environment = installation.activator_environment(
        kubeconfig,
        run_directory=run_directory,
        demand_target=f"127.0.0.1:{names.PORT_DEMAND}",
        metrics_port=metrics_port,
        POD_NAME=name,
        # All calls come from one address, and an outage in a swap holds them for a minute and more.
        ATHERIA_HOLD_LIMIT="10000",
        ATHERIA_HOLD_CALLER_SHARE="1",
    )
    log = run_directory.with_name(f"{name}.activator.log")
    return Part(f"activator of {name}", [installation.program("atheria-gateway")], environment, log, tell)


def envoy(name: str, address: str, run_directory: Path, tell: Callable[[str], None]) -> Part:
    """Envoy of a gateway called `name` with our bootstrap, and with a log that says which pod each call was sent to."""
    settings = Settings(
        run_directory=str(run_directory), pod_name=name, pod_namespace=installation.SYSTEM_NAMESPACE
    )
    bootstrap = write_bootstrap(run_directory, settings, listen_address=address)
    content = json.loads(bootstrap.read_text(encoding="utf-8"))
    for listener in content["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager.setdefault("access_log", []).append(_call_log(access_log_of(run_directory)))
    bootstrap.write_text(json.dumps(content), encoding="utf-8")
    command = installation.envoy_command(bootstrap, "--file-flush-interval-msec", "200")
    return Part(f"Envoy of {name}", command, None, run_directory.with_name(f"{name}.envoy.log"), tell)


def access_log_of(run_directory: Path) -> Path:
    """Where an Envoy writes which pod each call was sent to."""
    return run_directory.with_name(f"{run_directory.name}.calls.log")


def _call_log(file: Path) -> dict[str, Any]:
    words = f"%REQ({HEADER_CALL})% %UPSTREAM_HOST% %RESPONSE_FLAGS% %GRPC_STATUS% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n"
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(file),
            "log_format": {"text_format_source": {"inline_string": words}},
        },
    }
