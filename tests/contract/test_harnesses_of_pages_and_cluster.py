"""What the tests of pages and the end-to-end tests stand on: no page reaches a person's cluster, no cluster is left behind."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.chart import ROOT
from tests.e2e.local_cluster import bare_cluster
from tests.pages.blocks import Block, Stage
from tests.pages.terminal import Terminal

TYPED = Block(
    page=ROOT / "README.md", line=1, commands="", not_run=None, stages=frozenset(Stage), is_endless=False,
    begins="", status=0, shows=(),
)  # fmt: skip


def test_a_page_is_typed_for_the_checkouts_cluster_whichever_the_person_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "of-a-person"))
    with Terminal(tmp_path) as terminal:
        terminal.run(replace(TYPED, commands='test "$KUBECONFIG" = "$PWD/.local/kubeconfig"\n'))
        terminal.run(replace(TYPED, commands="export KUBECONFIG=$PWD/another\n"))
        terminal.run(replace(TYPED, commands="echo $KUBECONFIG\n", shows=("atheria/another",)))


class Local:
    """`atheria-local`, by the exit status of each of its commands."""

    def __init__(self, **statuses: int) -> None:
        self.statuses = statuses
        self.calls: list[str] = []

    def __call__(self, *arguments: str, timeout_seconds: float) -> subprocess.CompletedProcess[bytes]:
        self.calls.append(arguments[0])
        status = self.statuses.get(arguments[0], 0)
        if status == 124:
            raise subprocess.TimeoutExpired(arguments, timeout_seconds)
        return subprocess.CompletedProcess(arguments, status)


@pytest.mark.parametrize("status", [1, 124], ids=["refused", "too-slow"])
@pytest.mark.parametrize("step", ["up", "images"])
def test_a_cluster_that_did_not_come_up_whole_is_ended(step: str, status: int) -> None:
    local = Local(**{"status": 1, step: status})
    with pytest.raises((AssertionError, subprocess.TimeoutExpired)), bare_cluster(local):
        pytest.fail("there is no cluster")
    assert local.calls[-1] == "down"


def test_a_cluster_of_a_person_is_left_up_also_where_its_images_are_not_loaded() -> None:
    local = Local(images=1)
    with pytest.raises(AssertionError, match="atheria-local images"), bare_cluster(local):
        pytest.fail("there are no images")
    assert "down" not in local.calls


@pytest.mark.parametrize(
    ("kubeconfig", "calls"),
    [
        ("", ["atheria-local can-run", "atheria-local build", "atheria-local up", "atheria-local images", "atheria demo --local"]),
        ("{root}/.local/kubeconfig", ["atheria-local can-run", "atheria-local build", "atheria-local up", "atheria-local images", "atheria demo --local"]),
        ("{link}/.local/kubeconfig", ["atheria-local can-run", "atheria-local build", "atheria-local up", "atheria-local images", "atheria demo --local"]),
        ("/elsewhere/kubeconfig", ["atheria demo --cluster"]),
        ("{root}/.local/kubeconfig:/elsewhere/kubeconfig", ["atheria demo --cluster"]),
    ],
    ids=["none", "that-of-the-local-cluster", "the-same-by-a-link", "another", "several"],
)  # fmt: skip
def test_make_demo_takes_the_local_cluster_unless_a_person_names_another(
    kubeconfig: str, calls: list[str], tmp_path: Path
) -> None:
    for name in ("atheria", "atheria-local"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n', encoding="utf-8")
        program.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(ROOT, target_is_directory=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["make", "--old-file=setup", "demo", f"BIN={tmp_path}"], cwd=link, check=False,
        env={**environment, "KUBECONFIG": kubeconfig.format(root=ROOT, link=link)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text(encoding="utf-8").splitlines() == calls
