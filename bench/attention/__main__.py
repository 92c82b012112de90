"""The one command: `python -m bench.attention --help`, from the repository's root."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

import torch

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from bench.attention.caches import LENGTHS, compressed, measure_bytes, measure_scenes
from bench.attention.case import CaseFigures
from bench.attention.plot import plot
from bench.attention.report import KERNELS, attention_table, bytes_table, drift_table, memory_ratio
from bench.optimization.spread import conditions

RESULTS_HEADING: Final = "\n## Results\n"
_CASE_LIMIT_SECONDS: Final = 600


def main() -> None:
    """Measure everything; tables on stdout, progress on stderr."""
    options = _parser().parse_args()
    cases = defaultdict[tuple[str, int], list[CaseFigures]](list)
    for turn in range(options.rounds):
        for tokens in LENGTHS:
            for kernel in KERNELS:
                print(f"round {turn + 1}: {kernel} at {tokens}", file=sys.stderr, flush=True)
                cases[kernel, tokens].append(_case(kernel, tokens))
    print("caches", file=sys.stderr, flush=True)
    settings = [CacheSettings(), *compressed(128, 32), _with_window(256)]
    figures = [
        measure_bytes(one, dtype, tokens)
        for dtype in (torch.float32, torch.bfloat16)
        for one in settings
        for tokens in LENGTHS
    ]
    drifts = measure_scenes(options.scenes, [*compressed(8, 8), *compressed(32, 32)])
    text = "\n\n".join(
        (
            f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {conditions()}; {options.rounds} processes a cell.",
            attention_table(cases),
            bytes_table(figures),
            drift_table(drifts),
        )
    )
    if options.record:
        kept, heading, _ = options.record.read_text().partition(RESULTS_HEADING)
        if not heading:
            raise SystemExit(
                f"{options.record} has no line {RESULTS_HEADING.strip()!r} to write the results behind"
            )
        options.record.write_text(f"{kept}{heading}\n{text}\n")
    if options.plot:
        plot(options.plot, cases, figures)
    print(text)
    longest = max(LENGTHS)
    print(f"flash keeps {memory_ratio(cases, longest):.0f} times less at {longest} tokens", file=sys.stderr)


def _with_window(window: int) -> CacheSettings:
    return CacheSettings(precision=CachePrecision.INT4, recent_window=window)


def _case(kernel: str, tokens: int) -> CaseFigures:
    done = subprocess.run(
        [sys.executable, "-m", "bench.attention.case", kernel, str(tokens)],
        check=True,
        stdout=subprocess.PIPE,
        timeout=_CASE_LIMIT_SECONDS,
    )
    return CaseFigures(**json.loads(done.stdout))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.attention", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="processes for each kernel and length (default 5)"
    )
    parser.add_argument("--scenes", type=int, default=128, help="captions for the drift (default 128)")
    parser.add_argument(
        "--record",
        type=Path,
        help=f"Markdown file whose text behind {RESULTS_HEADING.strip()!r} becomes the tables",
    )
    parser.add_argument("--plot", type=Path, help="SVG to write")
    return parser


if __name__ == "__main__":
    main()
