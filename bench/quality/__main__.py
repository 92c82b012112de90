"""The quality benchmark's one command: `python -m bench.quality --help`, from the repository's root."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Final

import torch

from bench.quality.measure import Bench
from bench.quality.report import tables
from bench.quality.rows import ROWS

RESULTS_HEADING: Final = "\n## Results\n"


def main() -> None:
    """Measure every row; the tables on stdout, progress on stderr."""
    options = _parser().parse_args()
    bench = Bench(seeds=options.seeds, weights=options.weights, device=options.device)
    measured = []
    for row in ROWS:
        print(f"measuring {row.title}", file=sys.stderr, flush=True)
        measured.append((row, bench.measure(row)))
    text = f"{_conditions(options)}\n\n{tables(measured)}"
    if options.record:
        kept, heading, _ = options.record.read_text().partition(RESULTS_HEADING)
        if not heading:
            raise SystemExit(
                f"{options.record} has no line {RESULTS_HEADING.strip()!r} to write the results behind"
            )
        options.record.write_text(f"{kept}{heading}\n{text}\n")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.quality", description=__doc__)
    parser.add_argument("--seeds", type=int, default=16, help="states of the ensemble (default 16)")
    parser.add_argument(
        "--weights", default="", help="safetensors file of law nca (default: the one that ships)"
    )
    parser.add_argument("--device", default="cpu", help="default cpu; cuda where there is one")
    parser.add_argument(
        "--record",
        type=Path,
        help=f"Markdown file whose text behind {RESULTS_HEADING.strip()!r} becomes the tables",
    )
    return parser


def _conditions(options: argparse.Namespace) -> str:
    weights = Path(options.weights).name if options.weights else "the shipped weights"
    where = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.machine()
    return (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: law nca d=8, h=64, {weights}; {options.seeds} seeds, "
        f"32 x 32; torch {torch.__version__} on {options.device} ({where}, {os.cpu_count()} processors)."
    )


if __name__ == "__main__":
    main()
