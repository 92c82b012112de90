"""`python -m bench.live_replay`: minutes of recorded arrivals on real processes beside the simulator; status 1 where they differ by more than 20 %."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from atheria_operator.simulation.world import Queue
from bench.chaos import sandbox
from bench.live_replay import report
from bench.live_replay.arrivals import shape_of, window
from bench.live_replay.figures import mean_figures
from bench.live_replay.replay import replay
from bench.live_replay.simulated import simulate

SLOTS: Final = 1
"""Calls that a pod works on at once: one worker without batches, so that a call's seconds are its own."""


def spec_of(options: argparse.Namespace) -> dict[str, Any]:
    """The model's spec, all but its source."""
    return {
        "batching": {"maxBatchSize": SLOTS},
        "scaling": {
            "minReplicas": 0,
            "maxReplicas": options.most,
            "initialReplicas": 0,
            "target": SLOTS,
            "idleTimeout": f"{options.idle_timeout:g}s",
            "scaleDownDelay": f"{options.delay:g}s",
        },
    }


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    sandbox.ensure_inside("bench.live_replay")
    calls = window(
        options.hour,
        seed=options.seed,
        begin_seconds=options.begin,
        seconds=options.seconds,
        share=options.share,
    )
    _say(shape_of(calls, options.seconds))
    spec = spec_of(options)
    with sandbox.working_folder(Path(tempfile.mkdtemp(prefix="replay-")), options.keep) as folder:
        live = asyncio.run(
            replay(
                calls,
                spec,
                folder,
                seconds=options.seconds,
                tail_seconds=options.tail,
                limit_seconds=options.limit,
                say=_say,
            )
        )
    simulated = {
        queue: simulate(
            calls,
            live.learnt,
            spec["scaling"],
            queue=queue,
            tail_seconds=options.tail,
            limit_seconds=options.limit,
            seeds=options.seeds,
        )
        for queue in (Queue.GATEWAY, Queue.PODS)
    }
    print(
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {os.cpu_count()} processors, load average {os.getloadavg()[1]:.1f} "
        f"over 5 minutes. {options.hour} from {options.begin:g} s, seed {options.seed}, share {options.share:g}: "
        f"{shape_of(calls, options.seconds)}. At most {options.most} pods with {SLOTS} slot; late: more than {options.limit:g} s until a "
        f"slot. {report.told(live.learnt)} Calls were sent at most {live.late_sending_seconds:.2f} s behind their time."
    )
    print()
    columns = {f"simulator, queue in the {queue.value}": found for queue, found in simulated.items()}
    print(report.table(live.figures, columns), flush=True)
    for failure in sorted(set(live.failures)):
        print(f"failed: {failure}")
    is_near = report.is_within_bar(live.figures, mean_figures(simulated[Queue.GATEWAY]))
    return 0 if is_near and not live.failures else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.live_replay", description=__doc__)
    parser.add_argument(
        "--hour", default="code", choices=("code", "conv"), help="made-up hour (default code)"
    )
    parser.add_argument("--begin", type=float, default=1600.0, help="second of the hour (default 1600)")
    parser.add_argument("--seconds", type=float, default=300.0, help="of arrivals (default 300)")
    parser.add_argument("--share", type=float, default=0.6, help="of the calls that are sent (default 0.6)")
    parser.add_argument("--seed", type=int, default=1, help="of the hour (default 1)")
    parser.add_argument("--most", type=int, default=5, help="pods at most (default 5)")
    parser.add_argument("--idle-timeout", type=float, default=40.0, help="seconds (default 40)")
    parser.add_argument("--delay", type=float, default=15.0, help="scaleDownDelay, seconds (default 15)")
    parser.add_argument(
        "--tail", type=float, default=30.0, help="seconds that pods are counted after the last arrival (default 30)"
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=float, default=2.0, help="a call is late that waits longer, seconds (default 2)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=20,
        help="simulations that are averaged; they draw the starts (default 20)",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy all logs and ledgers there")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
