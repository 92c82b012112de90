"""Finds Helm and renders the chart, for the contract tests of the chart."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_local import programs

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "atheria"
SYSTEM_NAMESPACE = "atheria-system"
CLUSTER_VERSION = "1.35.4"
"""Said to Helm, whose own guess is the Kubernetes of the year that it was built in."""
Object = dict[str, Any]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe one written in C where there is it: the definitions take the other one a second."""


@cache
def _helm() -> str | None:
    # Not searched for in the cache: builds come and go there meanwhile.
    if chosen := os.environ.get("ATHERIA_TEST_HELM"):
        return chosen
    candidates = [ROOT / ".local" / "bin" / "helm", Path(programs.path(programs.HELM))]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(candidate)
    return shutil.which("helm")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm and return its outcome; skips the test, with the reason, where helm is not installed."""
    return subprocess.run(
        [helm_program(), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def helm_program() -> str:
    """Path of helm; skips the test, with the reason, where it is not installed."""
    program = _helm()
    if program is None:
        pytest.skip(
            "helm was found neither in .local/bin nor in the cache nor in PATH: run `make demo` once, or install it"
        )
    return program


def _template(*arguments: str) -> subprocess.CompletedProcess[str]:
    known = () if "--kube-version" in arguments else ("--kube-version", CLUSTER_VERSION)
    return helm("template", "atheria", str(CHART), *known, *arguments)


@cache
def _rendered(arguments: tuple[str, ...]) -> str:
    outcome = _template("--namespace", SYSTEM_NAMESPACE, *arguments)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def render(*arguments: str) -> list[Object]:
    """All objects of the release `atheria`, hooks included; `arguments` go to `helm template`."""
    return [document for document in yaml.load_all(_rendered(arguments), Loader=LOADER) if document]


def refused(*arguments: str) -> str:
    """The error that `helm template` ends with; fails when it ends well."""
    outcome = _template(*arguments)
    assert outcome.returncode != 0, f"helm accepted {arguments}"
    return outcome.stderr


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind and name."""
    found = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]


def pod_specs(objects: list[Object]) -> dict[str, Object]:
    """The pod specification of every workload, by `Kind/name`."""
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] in ("DaemonSet", "Deployment", "Job")
    }


def containers(pod: Object) -> list[Object]:
    """Init containers and containers."""
    return [*pod.get("initContainers", []), *pod["containers"]]
