"""kubectl and helm as subprocesses: what a person reads when a step fails."""

import json
import os
import subprocess
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


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_manifest_from_a_pipe_reaches_kubectl_byte_by_byte_where_the_locale_is_not_utf_8(
    output: str, tmp_path: Path
) -> None:
    program(
        tmp_path,
        "kubectl",
        f"""import sys, json
sent = sys.stdin.buffer.read() if "apply" in sys.argv else b""
if sent:
    open({str(tmp_path / "sent")!r}, "wb").write(sent)
body = {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "a"}}, "data": {{"note": sent.decode()}}}}
sys.stdout.buffer.write(json.dumps(body, ensure_ascii=False).encode())""",
    )
    manifest = "note: café → ñ 🚲\n".encode()
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "atheria_cli.__main__", "plan", "-f", "-", "-o", output],
        input=manifest, capture_output=True, check=False, timeout=60,
        env={**os.environ, **ascii_alone, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "sent").read_bytes() == manifest
    assert rb"caf\u00e9 \u2192 \u00f1 \ud83d\udeb2" in done.stdout
    if output == "json":
        assert "café → ñ 🚲" in str(json.loads(done.stdout))


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
