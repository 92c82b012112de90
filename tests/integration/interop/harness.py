"""Programs of others as processes on the control plane, what Atheria's pages tell people to apply, and Secrets as a kubelet mounts them."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from atheria_local import programs
from atheria_local.definitions import wait_established
from atheria_local.processes import Process, start, stop
from tests.integration.gateway.tls_pods import Mounted
from tests.integration.operator.harness import Cluster, eventually

DOCS: Final = Path(__file__).parents[3] / "docs"
LOGS: Final[set[Path]] = set()
"""Of all programs of this run, for the report of a test that fails."""
_YAML: Final = re.compile(r"^ *```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def needs(name: str) -> pytest.MarkDecorator:
    """Skips where the programs of this name in `programs.OPTIONAL` are not built."""
    is_built = all(build.is_done() for build in programs.OPTIONAL[name])
    command = f".venv/bin/atheria-local programs --also {name}"
    return pytest.mark.skipif(
        not is_built, reason=f"the real {name} is not built, which takes minutes: {command}"
    )


def install(cluster: Cluster, folder: Path) -> None:
    """Apply a folder of definitions that lies beside a program, and wait until they are served."""
    for file in sorted(folder.glob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", str(file))
    wait_established(cluster.plane.kubectl)


@contextmanager
def running_program(
    build: programs.Build, folder: Path, *arguments: str, name: str = "", **environment: str
) -> Iterator[Process]:
    """The build's program, or another one of it by its name, ended with the block, which fails where the program ended before."""
    command = [programs.path(build, name), *arguments]
    process = start(name or build.program, command, logs=folder, environment=environment)
    LOGS.add(Path(process.log))
    try:
        yield process
        assert process.is_alive(), Path(process.log).read_text(encoding="utf-8")[-4000:]
    finally:
        stop([process], grace_seconds=10)


def documented(page: str, kind: str) -> list[dict[str, Any]]:
    """The objects of the first YAML block in a page of docs/ that has one of this kind."""
    for block in _YAML.findall((DOCS / page).read_text(encoding="utf-8")):
        objects = [item for item in yaml.safe_load_all(textwrap.dedent(block)) if item]
        if any(item.get("kind") == kind for item in objects):
            return objects
    raise AssertionError(f"docs/{page} has no YAML with kind {kind}")


class MountedSecret(Mounted):
    """A Secret's volume of a pod, mounted as the kubelet does, and again when the Secret has changed."""

    def __init__(self, cluster: Cluster, namespace: str, volume: Mapping[str, Any], folder: Path) -> None:
        super().__init__(folder)
        self._cluster, self._namespace = cluster, namespace
        self._secret = str(volume["secret"]["secretName"])
        self._items = volume["secret"].get("items")
        self.files_now: dict[str, bytes] = {}
        eventually(f"files of Secret {self._secret}", self.sync)

    def sync(self) -> bool:
        """Whether the files are other ones now; not while one that the pod asks for is missing."""
        found = self._cluster.find("secret", self._secret, "-n", self._namespace)
        data = {
            key: base64.b64decode(value) for key, value in ((found or {}).get("data") or {}).items() if value
        }
        paths = (
            {key: key for key in data}
            if self._items is None
            else {item["key"]: item["path"] for item in self._items}
        )
        if not paths or not paths.keys() <= data.keys():
            return False
        files = {path: data[key] for key, path in paths.items()}
        if files == self.files_now:
            return False
        self.mount(files)
        self.files_now = files
        return True
