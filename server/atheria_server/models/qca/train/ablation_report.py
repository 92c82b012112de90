"""The ablation as a Markdown table and a plot, on the screen or recorded in the documentation."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from atheria_server.models.qca.train.ablation import Ablation, Outcome, plain_of
from atheria_server.models.qca.train.options import LONG_HORIZON, TrainingOptions

RESULTS: Final = "## Results\n"
"""The heading in a recorded page below which everything is replaced."""


def ablation_table(ablation: Ablation) -> str:
    """Markdown, one line a row."""
    plain = plain_of(ablation.outcomes)
    heads = (
        "Training",
        "ms an iteration, 1 / 4 steps",
        "times as fast",
        "times less processor",
        "ready after",
        "memory of an iteration",
        "1 − F₈",
        "F₁₆",
        "held-out loss",
        "as good as plain",
        "",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [_line(ablation, outcome, plain) for outcome in ablation.outcomes]
    lines += [f"| {row.name} | not run | | | | | | | | | {row.expected} |" for row in ablation.not_run]
    return "\n".join(lines) + "\n"


def ablation_text(ablation: Ablation, options: TrainingOptions, *, turns: int, seeds: int) -> str:
    """The table, with what was measured and how to read it."""
    import torch

    fidelity, loss = ablation.fidelity_band, ablation.loss_band
    device = torch.cuda.get_device_name(options.device) if options.device != "cpu" else _processor()
    load = os.getloadavg()[0]
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (
        f"Measured {moment} on {device}, {os.cpu_count()} processors, load {load:.1f} at the end; torch {torch.__version__}, "
        f"{options.threads} thread; law {options.law}, {options.side} × {options.side}, batch {options.batch}, "
        f"{options.iterations} iterations in {turns} turns. In brackets: where the median of the turns is with 95 %.\n\n"
        f"{ablation_table(ablation)}\n"
        f"Noise of {seeds} seeds of the plain training (where one more would be with 95 %): 1 − F₈ from {fidelity.low:.1e} to "
        f"{fidelity.high:.1e}, held-out loss from {loss.low:.1e} to {loss.high:.1e}.\n"
    )


def record(page: Path, text: str, plot: str) -> None:
    """Replace what follows the page's heading `## Results`. Raises OSError and ValueError."""
    before, heading, _ = page.read_text(encoding="utf-8").partition(RESULTS)
    if not heading:
        raise ValueError(f"{page} has no line {RESULTS.strip()!r}; add it where the table should be")
    picture = f"\n![Loss curves]({plot})\n" if plot else ""
    page.write_text(f"{before}{heading}\n{text}{picture}", encoding="utf-8")


def write_measurements(path: Path, ablation: Ablation) -> None:
    """Every turn, loss and fidelity of every row as JSON. Raises OSError."""
    rows = [
        {
            "row": outcome.row.name,
            "start_seconds": outcome.start_seconds,
            "turns": [asdict(turn) for turn in outcome.turns],
            **outcome.final,
        }
        for outcome in ablation.outcomes
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _line(ablation: Ablation, outcome: Outcome, plain: Outcome) -> str:
    final = outcome.final
    cells = (
        outcome.row.name,
        f"{outcome.milliseconds(1):.1f} / {outcome.milliseconds(LONG_HORIZON):.1f}",
        "1" if outcome is plain else _times(outcome.times_as_fast(plain)),
        "1" if outcome is plain else f"{outcome.times_less_processor(plain):.2f}",
        f"{outcome.start_seconds:.1f} s",
        f"{final['peak_growth_bytes'] / 2**20:.0f} MiB",
        f"{1 - final['fidelity_8']:.1e}",
        f"{final['fidelity_16']:.4f}",
        f"{final['held_out_loss']:.1e}",
        "yes" if ablation.is_equal(outcome) else "**no**",
        outcome.row.expected,
    )
    return f"| {' | '.join(cells)} |"


def _times(interval: tuple[float, float, float]) -> str:
    middle, low, high = interval
    decided = low > 1 or high < 1
    return f"{middle:.2f} ({low:.2f} to {high:.2f})" + ("" if decided else ", undecided")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
