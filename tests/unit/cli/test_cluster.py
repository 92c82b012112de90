"""kubectl and helm as subprocesses: what a person reads when a step fails."""

import sys
from pathlib import Path

import pytest

from atheria_cli.cluster import Cluster, ClusterError, wait_for


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)


def test_a_failing_program_is_reported_with_its_own_words(tmp_path: Path) -> None:
    program(tmp_path, "kubectl", "import sys; sys.exit('the server is on holiday')")
    with pytest.raises(ClusterError, match="`kubectl get pods` failed: the server is on holiday"):
        Cluster(programs=tmp_path).kubectl("get", "pods")


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    program(tmp_path, "helm", "import time; time.sleep(60)")
    with pytest.raises(ClusterError, match="`helm list` took longer than 1 s"):
        Cluster(programs=tmp_path).helm("list", timeout_seconds=1)


def test_a_missing_program_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"kubectl is neither in .* run `make setup`"):
        Cluster(programs=tmp_path).kubectl("version")


def test_the_context_and_kubeconfig_reach_the_program(tmp_path: Path) -> None:
    program(tmp_path, "helm", "import os, sys; print(os.environ['KUBECONFIG'], *sys.argv[1:])")
    cluster = Cluster(programs=tmp_path, kubeconfig=tmp_path / "config", context="blue")
    assert cluster.helm("list").split() == [str(tmp_path / "config"), "--kube-context", "blue", "list"]


def test_a_wait_is_bounded_and_says_what_was_last_seen() -> None:
    with pytest.raises(ClusterError, match="the model Ready did not happen within 0 s: Unschedulable"):
        wait_for(
            "the model Ready",
            lambda: None,
            timeout_seconds=0,
            describe=lambda: "Unschedulable",
            every_seconds=0,
        )


def test_a_wait_returns_what_was_found() -> None:
    answers = iter([None, None, 7])
    assert wait_for("x", lambda: next(answers), timeout_seconds=5, describe=str, every_seconds=0) == 7
