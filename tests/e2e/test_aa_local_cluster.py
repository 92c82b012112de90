"""The local cluster's own promises: started twice it stays, killed it comes back, ended it leaves nothing.

Runs before the other end-to-end tests (they share one cluster), and not at all where a person's cluster is up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atheria_local import cgroups, network, paths, processes

ROOT = Path(__file__).parents[2]


def local(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atheria_local", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,
    )


@pytest.fixture
def absent() -> Iterator[None]:
    """No cluster before, and none after."""
    if paths.RUN.exists():
        pytest.skip(
            "a local cluster is up: it is not ended for a test (run `make demo-down` to have this tested)"
        )
    yield
    assert local("down").returncode == 0


def ours() -> dict[str, processes.Process]:
    return processes.recorded(paths.RECORDS)


def test_up_is_idempotent_mends_a_killed_run_and_down_leaves_nothing(absent: None) -> None:
    first = local("up")
    assert first.returncode == 0, first.stderr
    started = ours()
    again = local("up")
    assert "is up already" in again.stdout
    assert ours() == started
    assert local("status").returncode == 0

    os.kill(started["forward"].pid, signal.SIGKILL)
    forwarding = local("up")
    assert "start again: forward" in forwarding.stdout
    assert ours()["etcd"] == started["etcd"]
    assert local("status").returncode == 0

    for name in ("etcd", "kubelet", "containerd"):
        os.kill(started[name].pid, signal.SIGKILL)
    broken = local("status")
    assert broken.returncode == 1
    assert "etcd" in broken.stdout
    mended = local("up")
    assert mended.returncode == 0, mended.stderr
    assert "remove what an earlier run left" in mended.stdout
    assert not any(process.is_alive() for process in started.values())
    assert local("status").returncode == 0

    running = ours()
    assert local("down").returncode == 0
    assert not any(process.is_alive() for process in running.values())
    assert not network.exists()
    assert not paths.CLUSTER.exists()
    assert not paths.RUN.exists()
    assert not list(cgroups.processes())
    mounted = Path("/proc/mounts").read_text()
    assert str(paths.RUN) not in mounted
    assert str(paths.CLUSTER) not in mounted
    assert local("status").returncode == 1
    assert "nothing to remove" in local("down").stdout


def test_a_port_in_use_stops_up_before_anything_is_started(absent: None) -> None:
    holder = "import socket, sys; s = socket.create_server(('127.0.0.1', 8001)); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        refused = local("up")
        assert process.stdin is not None
        process.stdin.close()
    assert refused.returncode == 1
    assert "127.0.0.1:8001 is in use" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not network.exists()
