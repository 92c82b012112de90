"""A short chaos run with a fixed seed: what `make chaos` does for ten minutes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 900

pytestmark = pytest.mark.integration


def _may_make_namespaces() -> bool:
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *rights, "--net", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.skipif(not _may_make_namespaces(), reason="needs root or user namespaces, for pods' addresses")
def test_no_call_is_lost_but_by_kills_and_the_end_is_as_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.chaos"),
            *("--minutes", "0.75", "--gap", "2.5", "--calls-per-second", "10", "--seed", "11"),
            *("--keep", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, said
    assert done.stdout.rstrip().endswith("good"), said
    assert "lost: UNEXPLAINED" not in done.stdout
