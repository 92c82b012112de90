"""Starts the processes of one run and reads what they wrote. Called by the command and by the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.tensor_parallel.work import Work

RUN_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run."""

    statuses: tuple[int, ...]
    """Of the ranks' processes."""
    words: str
    """What they said on standard error."""
    wrote: tuple[Mapping[str, Any], ...]
    """Of each rank by name, empty where it did not come so far."""


def run_ranks(folder: Path, preset: str, work: Work, *, ranks: int, threads: int, dies: int = -1) -> Ended:
    """Rank `dies` ends before the work. AssertionError when they do not end, or cannot be started."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.tensor_parallel.ranks", f"--preset={preset}", f"--ranks={ranks}"),
            *(
                f"--threads={threads}",
                f"--side={work.side}",
                f"--words={work.words}",
                f"--steps={work.steps}",
            ),
            *(f"--folder={folder}", f"--dies={dies}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Of this machine only; without it gloo asks the resolver for the host's own name.
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        start_new_session=True,
    )
    try:
        said, words = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise AssertionError(f"the ranks did not end within {RUN_SECONDS:g} s") from None
    assert process.returncode == 0, words
    files = [folder / f"rank-{rank}.npz" for rank in range(ranks)]
    return Ended(
        statuses=tuple(int(status) for status in said.split()),
        words=words,
        wrote=tuple(dict(np.load(file)) if file.exists() else {} for file in files),
    )
