"""Every panel of every dashboard, asked through a real Prometheus that scraped a real operator, gateway and model server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atheria_local import promtool

ROOT = Path(__file__).parents[3]
LIMIT_SECONDS = 900

pytestmark = pytest.mark.integration


def _may_make_namespaces() -> bool:
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *rights, "--net", "--pid", "--fork", "--mount-proc", "true"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.skipif(
    not promtool.find(promtool.SERVER), reason="Prometheus is neither in PATH nor in the cache: `make setup`"
)
@pytest.mark.skipif(not _may_make_namespaces(), reason="needs root or user namespaces, for pods' addresses")
def test_no_panel_is_empty_or_shows_nonsense_after_load() -> None:
    """Those of DCGM only have to be understood: there is no GPU."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.dashboards", "--seconds", "6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    said = f"{done.stdout}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, said
    assert done.stdout.rstrip().endswith("good"), said
