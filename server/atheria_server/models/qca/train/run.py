"""A whole training in this process (or in one of several): continue, iterate, report, save, judge, write.

Called by `command`, in the processes of `processes` where there are several. Only the first process prints and writes.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from atheria_server.models.qca import weights
from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.train.checkpoint import read_checkpoint, write_checkpoint
from atheria_server.models.qca.train.held_out import (
    FIDELITY_LIMIT,
    GATE_STEPS,
    held_out_fidelity,
    held_out_report,
)
from atheria_server.models.qca.train.memory import PeakMemory, import_early
from atheria_server.models.qca.train.options import TrainingOptions
from atheria_server.models.qca.train.ranks import Ranks
from atheria_server.models.qca.train.stop import StopAsked, stop_asked
from atheria_server.models.qca.train.trainer import Trainer
from atheria_server.models.weight_files import digest_of

EXIT_NOT_GOOD_ENOUGH: Final = 1
EXIT_SIGNAL: Final = 128
"""Plus the signal's number: stopped before the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a training reads and writes; None = not."""

    out: Path | None = None
    checkpoint: Path | None = None
    resume: bool = False
    report: Path | None = None
    plot: Path | None = None
    checkpoint_every: int = 100
    """Iterations."""
    progress_every: int = 50
    """Iterations."""
    minimum_fidelity: float = FIDELITY_LIMIT


def run(options: TrainingOptions, ranks: Ranks, files: Files) -> int:
    """The exit code. Raises CheckpointError, and what torch raises."""
    torch.set_num_threads(options.threads)
    import_early()
    memory = PeakMemory(options.device)
    trainer = Trainer(options, ranks)
    if files.resume and files.checkpoint is not None:
        trainer.restore(read_checkpoint(files.checkpoint, options.identity()))
        _say(ranks, f"continued after iteration {trainer.iteration} of {options.iterations}")
    first, began = trainer.iteration, time.perf_counter()
    with stop_asked(interrupts=ranks.count == 1) as asked:
        _iterate(trainer, files, asked, began)
    seconds = time.perf_counter() - began
    # All processes must take part in gathering what the first one writes.
    law = trainer.law()
    if asked:
        return _stopped(trainer, files, asked)
    if ranks.rank != 0:
        return 0
    done = trainer.iteration - first
    _say(
        ranks,
        f"trained {weights.count_parameters(law)} parameters, {done} iterations in {seconds:.1f} s; "
        f"memory grew by at most {memory.growth_bytes() / 2**20:.0f} MiB",
    )
    table = _print_table(ranks, law, options)
    code = _write_weights(ranks, law, files, table[options.side][GATE_STEPS][0])
    _write_reports(trainer, files, table, seconds / max(1, done), memory.growth_bytes())
    return code


def _iterate(trainer: Trainer, files: Files, asked: StopAsked, began: float) -> None:
    first, options, ranks = trainer.iteration, trainer.options, trainer.ranks
    while trainer.iteration < options.iterations:
        if ranks.any(bool(asked)):
            asked.number = asked.number or 15
            return
        trainer.advance()
        done = trainer.iteration
        last = done == options.iterations
        if done % files.progress_every == 0 or last or done == first + 1:
            law, seconds = trainer.law(), time.perf_counter() - began
            if ranks.rank == 0:
                _say(
                    ranks,
                    f"iteration {done:{len(str(options.iterations))}d}/{options.iterations}"
                    f"  horizon {options.horizon(done - 1)}  loss {trainer.losses[-1].item():.2e}"
                    f"  fidelity {held_out_fidelity(law, options.side):.5f}"
                    f"  {seconds:.1f} s  {1000 * seconds / (done - first):.1f} ms/iteration",
                )
        if files.checkpoint is not None and (done % files.checkpoint_every == 0 or last):
            _save(trainer, files.checkpoint)


def _save(trainer: Trainer, path: Path) -> None:
    checkpoint = trainer.checkpoint()
    if trainer.ranks.rank == 0:
        write_checkpoint(path, checkpoint)


def _stopped(trainer: Trainer, files: Files, asked: StopAsked) -> int:
    if files.checkpoint is None:
        what = "nothing is kept without --checkpoint"
    else:
        _save(trainer, files.checkpoint)
        what = f"continue with --resume --checkpoint {files.checkpoint}"
    _say(
        trainer.ranks,
        f"stopped by signal {asked.number} after iteration {trainer.iteration} of "
        f"{trainer.options.iterations}; {what}",
    )
    return EXIT_SIGNAL + asked.number


Table = dict[int, dict[int, tuple[float, float, float]]]
"""Side -> steps -> fidelity, teacher's c4, the law's c4."""


def _print_table(ranks: Ranks, law: Law, options: TrainingOptions) -> Table:
    table = {}
    for side in (options.side, 2 * options.side):
        table[side] = held_out_report(law, side)
        _say(ranks, f"held-out {side} x {side}:  steps  fidelity  c4 kerr  c4 {options.law}")
        for steps, (fidelity, wanted_c4, got_c4) in table[side].items():
            _say(ranks, f"{steps:23d}  {fidelity:8.5f}  {wanted_c4:7.4f}  {got_c4:6.4f}")
    return table


def _write_reports(
    trainer: Trainer, files: Files, table: Table, seconds_per_iteration: float, growth_bytes: int
) -> None:
    losses = trainer.loss_history().tolist()
    if files.report is not None:
        report = {
            "options": trainer.options.identity(),
            "seconds_per_iteration": seconds_per_iteration,
            "peak_growth_bytes": growth_bytes,
            "held_out": {
                str(side): {str(steps): row[0] for steps, row in rows.items()} for side, rows in table.items()
            },
            "losses": losses,
        }
        files.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if files.plot is not None:
        from atheria_server.models.qca.train.plot import plot_losses

        plot_losses({trainer.options.law: losses}, files.plot)


def _write_weights(ranks: Ranks, law: Law, files: Files, fidelity: float) -> int:
    if not fidelity >= files.minimum_fidelity:
        _say(
            ranks,
            f"fidelity after {GATE_STEPS} steps is {fidelity:.5f}, the limit is {files.minimum_fidelity}; "
            "nothing written: train longer, or lower --minimum-fidelity",
        )
        return EXIT_NOT_GOOD_ENOUGH
    if files.out is not None:
        data = weights.dump_law(law)
        files.out.write_bytes(data)
        _say(ranks, f"wrote {files.out}, {len(data)} bytes, {digest_of(data)}")
    return 0


def _say(ranks: Ranks, line: str) -> None:
    if ranks.rank == 0:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
