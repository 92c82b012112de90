"""`python -m bench.dashboards --seconds 15`: the run in namespaces of its own; status 1 when a panel shows nothing or nonsense."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.chaos import sandbox
from bench.dashboards.models import BY_NAME
from bench.dashboards.run import Options, Result, Run

SPARE_SECONDS: Final = 800.0
"""What a run may take beside its load."""


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    sandbox.ensure_inside("bench.dashboards")
    folder = Path(tempfile.mkdtemp(prefix="dashboards-"))
    wanted = Options(
        models=tuple(BY_NAME[name] for name in options.model or ["network", "writer"]),
        seconds=options.seconds,
        callers=options.callers,
        waves=options.waves,
    )
    with sandbox.working_folder(folder, options.keep, "lock", "queries.active"):
        results = asyncio.run(_bounded(Run(wanted, folder, _say), wanted))
    return _report(results)


async def _bounded(run: Run, wanted: Options) -> tuple[Result, ...]:
    async with asyncio.timeout(wanted.seconds + SPARE_SECONDS):
        return await run.run()


def _report(results: tuple[Result, ...]) -> int:
    wrong = [one for one in results if one.complaint]
    for one in wrong:
        print(f"{one.asked.board} / {one.asked.panel}: {one.complaint}: {one.asked.query}")
    without = sum(1 for one in results if one.asked.needs_gpus)
    print(
        f"{len(results)} queries, {without} of them parsed only (no DCGM exporter), {len(wrong)} without sense: "
        f"{'bad' if wrong else 'good'}"
    )
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboards", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of load (default 15)")
    parser.add_argument("--callers", type=int, default=4, help="calls at once to each model (default 4)")
    parser.add_argument(
        "--model",
        action="append",
        choices=sorted(BY_NAME),
        help="served; repeatable (default network and writer)",
    )
    parser.add_argument("--waves", action="store_true", help="load that goes up and down")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy logs and Prometheus' data there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
