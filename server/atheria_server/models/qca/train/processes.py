"""Starts the processes of a sharded training on this machine, hands a stop on to them, and says which one failed."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, cast

from atheria_server.models.qca.train.options import TrainingOptions

LEAVE_SECONDS: Final = 30
"""For the others to end after one has failed; then they are killed."""

Task = Callable[..., int]


def run_in_processes(task: Task, options: TrainingOptions, *arguments: Any) -> int:
    """`task(options, ranks, *arguments)` in `options.processes` processes; the first exit code that is not 0, or 0.

    SIGTERM and SIGINT that come here reach each process as SIGTERM. On the CPU the processes are forks of this one, which
    must not have computed anything yet.
    """
    with tempfile.TemporaryDirectory(prefix="atheria-train-") as folder:
        meeting = Path(folder) / "meeting"
        processes = [
            start_process(_run_rank, options, rank, meeting, task, arguments)
            for rank in range(options.processes)
        ]
        previous = [signal.signal(number, _hand_on(processes)) for number in (signal.SIGTERM, signal.SIGINT)]
        try:
            return _first_failure(processes)
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGINT), previous, strict=True):
                signal.signal(number, handler)
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()


def start_process(target: Callable[..., None], options: TrainingOptions, *arguments: Any) -> BaseProcess:
    """`target(options, *arguments)` in a process of its own: a fork on the CPU, which need not import torch again."""
    # CUDA does not survive a fork.
    if options.device == "cpu":
        forked = multiprocessing.get_context("fork").Process(target=target, args=(options, *arguments))
        forked.start()
        return forked
    spawned = multiprocessing.get_context("spawn").Process(target=target, args=(options, *arguments))
    spawned.start()
    return spawned


def _first_failure(processes: Sequence[BaseProcess]) -> int:
    """Waits for all; once one has failed, the others are told to end and have LEAVE_SECONDS."""
    running = {process.sentinel: process for process in processes}
    code = 0
    while running:
        ended = wait(list(running), timeout=LEAVE_SECONDS if code else None)
        if not ended:
            break
        for sentinel in ended:
            process = running.pop(cast("int", sentinel))
            process.join()
            code = code or process.exitcode or 0
        if code:
            for process in running.values():
                process.terminate()
    # A process that was killed by a signal has minus its number.
    return code if code >= 0 else 128 - code


def _hand_on(processes: Sequence[BaseProcess]) -> Callable[[int, Any], None]:
    def terminate_all(_number: int, _frame: Any) -> None:
        for process in processes:
            if process.is_alive():
                process.terminate()

    return terminate_all


def _run_rank(
    options: TrainingOptions, rank: int, meeting: Path, task: Task, arguments: tuple[Any, ...]
) -> None:
    from atheria_server.models.qca.train import ranks

    # Ctrl-C reaches the whole group; the parent hands it on once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.device != "cpu":
        options = replace(options, device=f"cuda:{rank}")
    joined = ranks.join(rank, options, meeting)
    code = task(options, joined, *arguments)
    ranks.leave()
    raise SystemExit(code)
