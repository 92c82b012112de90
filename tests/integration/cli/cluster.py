"""`atheria` as a person runs it, against a real API server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from atheria_local.control_plane import ControlPlane


def environment(plane: ControlPlane, **more: str) -> dict[str, str]:
    """Of a person whose kubectl talks to the control plane."""
    folder = Path(plane.kubectl[0]).parent
    return {
        **os.environ,
        "COLUMNS": "250",
        "KUBECONFIG": str(plane.kubeconfig),
        "PATH": f"{folder}:{os.environ['PATH']}",
        **more,
    }


def atheria(
    plane: ControlPlane, *arguments: str, stdin: str | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """The command with its output; `more` is set in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "atheria_cli", *arguments],
        env=environment(plane, **more), input=stdin, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
