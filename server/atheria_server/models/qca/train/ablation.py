"""The ablation: all rows trained side by side in turns, so that a busy machine slows all of them alike.

Each row is a process of its own (or several), and does nothing until it is told to do its next few iterations. A row's time is compared with that of the plain training in the same turn. Called by `command`.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from statistics import median
from typing import Any, Final

from atheria_server.core.noise_band import NoiseBand, noise_band
from atheria_server.models.qca.train.ablation_rows import PLAIN, Row
from atheria_server.models.qca.train.memory import PeakMemory, import_early
from atheria_server.models.qca.train.options import LONG_HORIZON, TrainingOptions
from atheria_server.models.qca.train.processes import run_in_processes, start_process

TURN_SECONDS: Final = 600
"""Longest wait for a row's turn, its compilation included."""
WARM_UP_ITERATIONS: Final = 1
"""Not timed: starts the loader's workers."""


class AblationError(RuntimeError):
    """A row did not do its turn; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A few iterations of one horizon."""

    horizon: int
    seconds: float
    """Per iteration, by the clock."""
    cpu_seconds: float
    """Per iteration, of processors: all of the row's processes, but not the loader's workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a row came to."""

    row: Row
    start_seconds: float
    """Preparing and compiling, up to the first iteration that is measured."""
    turns: Sequence[Turn]
    final: Any
    """losses, fidelity_8, fidelity_16, held_out_loss, peak_growth_bytes."""

    def times_as_fast(self, plain: Outcome) -> tuple[float, float, float]:
        """By the clock, turn by turn against the plain training: median, and where it is with 95 %."""
        pairs = zip(plain.turns, self.turns, strict=True)
        return median_interval([other.seconds / own.seconds for other, own in pairs])

    def times_less_processor(self, plain: Outcome) -> float:
        """The same of processor seconds; less disturbed by other work on the machine."""
        pairs = zip(plain.turns, self.turns, strict=True)
        return median([other.cpu_seconds / own.cpu_seconds for other, own in pairs])

    def milliseconds(self, horizon: int) -> float:
        """Of an iteration over `horizon` steps: median of the turns."""
        return 1000 * median([turn.seconds for turn in self.turns if turn.horizon == horizon])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """All of it."""

    outcomes: Sequence[Outcome]
    not_run: Sequence[Row]
    fidelity_band: NoiseBand
    """Of 1 - F_8."""
    loss_band: NoiseBand

    def is_equal(self, outcome: Outcome) -> bool:
        """Whether its quality is that of the plain training but for noise."""
        return self.fidelity_band.holds(1 - outcome.final["fidelity_8"]) and self.loss_band.holds(
            outcome.final["held_out_loss"]
        )


def run_ablation(rows: Sequence[Row], *, turns: int, say: Callable[[str], None]) -> Ablation:
    """Train all rows. torch must not have computed in this process before. Raises AblationError."""
    import_early()
    running = [_Running(row) for row in rows if row.runs]
    try:
        for row in running:
            row.do(WARM_UP_ITERATIONS)
            say(f"{row.row.name}: ready in {row.start_seconds:.1f} s")
        iterations = rows[0].options.iterations
        ends = [iterations * n // turns for n in range(1, turns + 1)]
        for turn, end in enumerate(ends, start=1):
            began = time.perf_counter()
            # Another order each turn: nobody is always first.
            for row in running[turn % len(running) :] + running[: turn % len(running)]:
                row.do(end)
            say(f"turn {turn} of {turns}: iteration {end} in {time.perf_counter() - began:.1f} s")
        outcomes = [row.finish() for row in running]
    finally:
        for row in running:
            row.kill()
    noise = [outcome.final for outcome in outcomes if outcome.row.is_noise]
    return Ablation(
        outcomes=outcomes,
        not_run=[row for row in rows if not row.runs],
        fidelity_band=noise_band([max(1e-12, 1 - final["fidelity_8"]) for final in noise]),
        loss_band=noise_band([final["held_out_loss"] for final in noise]),
    )


@dataclass(slots=True)
class _Running:
    row: Row
    iteration: int = 0
    start_seconds: float = 0.0
    turns: list[Turn] = field(default_factory=list)
    _process: BaseProcess | None = None
    _pipe: Connection[Any, Any] | None = None

    def do(self, until: int) -> None:
        """Advance to iteration `until`; the first time starts the process, and is not timed as a turn."""
        first = self._process is None
        began = time.perf_counter()
        if self._process is None:
            self._pipe, child = multiprocessing.Pipe()
            self._process = start_process(_row_process, self.row.options, child)
            child.close()
        answer = self._ask(until)
        if first:
            self.start_seconds = time.perf_counter() - began
        else:
            count = until - self.iteration
            self.turns.append(
                Turn(
                    horizon=self.row.options.horizon(until - 1),
                    seconds=answer["seconds"] / count,
                    cpu_seconds=answer["cpu_seconds"] / count,
                )
            )
        self.iteration = until

    def finish(self) -> Outcome:
        """The end of the training, which is judged."""
        final = self._ask(0)
        return Outcome(row=self.row, start_seconds=self.start_seconds, turns=self.turns, final=final)

    def kill(self) -> None:
        """At the end, or when another row failed."""
        if self._process is not None:
            self._process.join(timeout=5)
            if self._process.is_alive():
                self._process.terminate()
            self._process.join()

    def _ask(self, until: int) -> Any:
        assert self._pipe is not None  # noqa: S101
        assert self._process is not None  # noqa: S101
        self._pipe.send_bytes(json.dumps(until).encode())
        ready = wait([self._pipe, self._process.sentinel], timeout=TURN_SECONDS)
        if self._pipe not in ready:
            what = f"took longer than {TURN_SECONDS} s" if not ready else "ended; its error is above"
            raise AblationError(f"row {self.row.name!r} {what}")
        return json.loads(self._pipe.recv_bytes())


def _row_process(options: TrainingOptions, pipe: Connection[Any, Any]) -> None:
    from atheria_server.models.qca.train.ranks import Ranks

    if options.processes > 1:
        raise SystemExit(run_in_processes(_row, options, pipe))
    raise SystemExit(_row(options, Ranks(), pipe))


def _row(options: TrainingOptions, ranks: Any, pipe: Connection[Any, Any]) -> int:
    """In each of the row's processes: only the first hears the turns, and tells the others."""
    import torch

    from atheria_server.models.qca.train.held_out import held_out_fidelity, held_out_loss
    from atheria_server.models.qca.train.trainer import Trainer

    torch.set_num_threads(options.threads)
    trainer = Trainer(options, ranks)
    for steps in (1, LONG_HORIZON):
        trainer.rehearse(steps)
    while True:
        until = ranks.first_says(json.loads(pipe.recv_bytes()) if ranks.rank == 0 else 0)
        if until == 0:
            break
        began, cpu_began = time.perf_counter(), time.process_time()
        while trainer.iteration < until:
            trainer.advance()
        # Reading the loss waits for the device.
        trainer.losses[-1].item()
        used = ranks.count * ranks.mean(torch.tensor(time.process_time() - cpu_began)).item()
        if ranks.rank == 0:
            pipe.send_bytes(
                json.dumps({"seconds": time.perf_counter() - began, "cpu_seconds": used}).encode()
            )
    memory = PeakMemory(options.device)
    trainer.rehearse(LONG_HORIZON)
    growth, law = memory.growth_bytes(), trainer.law()
    if ranks.rank == 0:
        final = {
            "losses": trainer.loss_history().tolist(),
            "fidelity_8": held_out_fidelity(law, options.side),
            "fidelity_16": held_out_fidelity(law, options.side, 16),
            "held_out_loss": held_out_loss(law, options.side),
            "peak_growth_bytes": growth,
        }
        pipe.send_bytes(json.dumps(final).encode())
    return 0


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, and the two values between which it is with 95 %, whatever their distribution."""
    ordered, count = sorted(values), len(values)
    reach = 0.98 * math.sqrt(count)
    low, high = math.floor(count / 2 - reach), math.ceil(count / 2 + reach)
    return median(ordered), ordered[max(0, low)], ordered[min(count - 1, high)]


def plain_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The row that the others are compared with."""
    return next(outcome for outcome in outcomes if outcome.row.name == PLAIN)
