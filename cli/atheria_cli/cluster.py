"""kubectl and helm as subprocesses, with bounded waits and errors a person can act on. Called by `show`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from atheria_cli.errors import CommandError, ExitCode

T = TypeVar("T")


class ClusterError(CommandError):
    """A step on the cluster failed; the message ends with what to do."""


_UNREACHABLE: Final = (
    "Unable to connect",
    "connection refused",
    "was refused",
    "no configuration has been provided",
    "no such host",
    "i/o timeout",
    "does not exist in kubeconfig",
    "context was not found",
)
"""In kubectl's words, when no API server answers."""


_NEXT_STEPS: Final = (
    ("(NotFound)", "atheria list -A shows what there is"),
    ("have a resource type", "Atheria is not installed in this cluster: atheria doctor"),
    ("(Forbidden)", "ask for the right, or name another --namespace or --context"),
    *((sign, "name a cluster with --context, or bring one up: make demo") for sign in _UNREACHABLE),
)
"""In kubectl's words, and what a person does about it."""


def _with_next_step(words: str) -> str:
    for sign, step in _NEXT_STEPS:
        if sign in words:
            return f"{words}; {step}"
    return words


def _exit_code(words: str) -> ExitCode:
    if "(NotFound)" in words:
        return ExitCode.NOT_FOUND
    return ExitCode.UNREACHABLE if any(sign in words for sign in _UNREACHABLE) else ExitCode.FAILED


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where kubectl and helm talk to."""

    programs: Path | None = None
    """Folder that is searched for kubectl and helm before PATH; None = PATH alone."""
    kubeconfig: Path | None = None
    """None: what kubectl itself would use."""
    context: str = ""

    def _program(self, name: str) -> str:
        path = os.environ.get("PATH", "")
        found = shutil.which(name, path=f"{self.programs}{os.pathsep}{path}" if self.programs else path)
        if found is None:
            where = (
                f"neither in {self.programs} nor on PATH: run `make setup` or"
                if self.programs
                else "not on PATH:"
            )
            raise ClusterError(f"{name} is {where} install {name}", ExitCode.NOT_FOUND)
        return found

    def command(self, program: str) -> list[str]:
        """The program's path with the context option, to which arguments are added."""
        option = "--kube-context" if program == "helm" else "--context"
        return [self._program(program), *((option, self.context) if self.context else ())]

    def full_environment(self) -> dict[str, str]:
        """This process's environment with KUBECONFIG set where we were given one."""
        return {**os.environ, **({"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {})}

    def _run(
        self, program: str, arguments: Sequence[str], timeout_seconds: float, stdin: str | None = None
    ) -> str:
        shown = f"`{program} {' '.join(arguments)}`"
        try:
            done = subprocess.run(
                [*self.command(program), *arguments],
                capture_output=True,
                # Both read and write it in every locale.
                encoding="utf-8",
                errors="replace",
                timeout=timeout_seconds,
                env=self.full_environment(),
                input=stdin,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(
                f"{shown} took longer than {timeout_seconds:.0f} s", ExitCode.TIMEOUT
            ) from error
        if done.returncode != 0:
            words = done.stderr.strip() or done.stdout.strip()
            raise ClusterError(f"{shown} failed: {_with_next_step(words)}", _exit_code(words))
        return done.stdout

    def kubectl(self, *arguments: str, timeout_seconds: float = 60, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed. Raises ClusterError with kubectl's own words."""
        return self._run("kubectl", arguments, timeout_seconds, stdin)

    def helm(self, *arguments: str, timeout_seconds: float = 600) -> str:
        """Run helm and return what it printed. Raises ClusterError with helm's own words."""
        return self._run("helm", arguments, timeout_seconds)

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """One object as a dict."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """Pods by label selector."""
        items: list[dict[str, Any]] = json.loads(
            self.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "json")
        )["items"]
        return items

    def metrics(self, namespace: str, pod: str, port: int) -> str:
        """A pod's /metrics through the API server's proxy, so that it works from outside the pod network."""
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics")


def wait_for(
    what: str,
    look: Callable[[], T | None],
    *,
    timeout_seconds: float,
    describe: Callable[[], str],
    every_seconds: float = 0.3,
) -> T:
    """Ask `look` until it returns something. Raises ClusterError with `describe()` when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{what} did not happen within {timeout_seconds:.0f} s: {describe()}", ExitCode.TIMEOUT
            )
        time.sleep(every_seconds)
