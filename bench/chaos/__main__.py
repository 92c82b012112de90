"""`python -m bench.chaos --minutes 10 --seed 1`: the run in namespaces of its own; status 1 when something is not as it must be."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.chaos import actions, sandbox
from bench.chaos.report import table
from bench.chaos.scenario import Options, Outcome, Scenario

SPARE_SECONDS: Final = 900.0
"""What a run may take beside its faults: start, calm, end."""


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    sandbox.ensure_inside("bench.chaos")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    wanted = Options(
        seconds=options.minutes * 60,
        seed=options.seed,
        calls_per_second=options.calls_per_second,
        mean_gap_seconds=options.gap,
        without=frozenset(options.without),
        gateways=options.gateways,
    )
    with sandbox.working_folder(folder, options.keep):
        outcome = asyncio.run(_bounded(Scenario(wanted, folder, _say), wanted))
        print(
            f"seed {wanted.seed}, {options.minutes:g} minutes of faults, load average {os.getloadavg()[0]:.1f}"
        )
        print(table(outcome), flush=True)
    return 0 if outcome.is_good else 1


async def _bounded(scenario: Scenario, wanted: Options) -> Outcome:
    async with asyncio.timeout(wanted.seconds + SPARE_SECONDS):
        return await scenario.run()


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default 1)")
    parser.add_argument("--gap", type=float, default=6.0, help="mean seconds between faults (default 6)")
    parser.add_argument(
        "--calls-per-second", type=float, default=20.0, help="to the steady model (default 20)"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=sorted(actions.name_of(fault) for fault, _ in actions.FAULTS),
        help="a fault that shall not happen; repeatable",
    )
    parser.add_argument("--gateways", type=int, default=2, help="replicas of the gateway (default 2)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy all logs and ledgers there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
