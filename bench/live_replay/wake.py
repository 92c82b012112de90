"""`python -m bench.live_replay.wake --repeats 30`: how long the first call at zero waits for each step, on the real processes of bench.chaos.

The clock of all processes is the machine's. The number of pods and the endpoints are those that a watch of the API server shows, so its delay is
counted, too: once in favour of the second figure, which the end of the call's way, the ledger of its pod, makes up for.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atheria_operator.simulation.outcome import nearest_rank
from bench.chaos import ledger, sandbox
from bench.chaos.world import NAMESPACE, eventually
from bench.live_replay.callers import Callers, Sent
from bench.live_replay.stage import MODEL, Stage, raised

PATCHED_BAR_SECONDS: Final = 0.3
RELEASED_BAR_SECONDS: Final = 0.05
SPEC: Final[dict[str, Any]] = {
    "scaling": {
        "minReplicas": 0,
        "maxReplicas": 1,
        "initialReplicas": 0,
        "target": 1,
        "idleTimeout": "1s",
        "scaleDownDelay": "0s",
        "keepAlive": "idleTimeout",
    }
}
_WAIT_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Seconds of one first call."""

    while_draining: bool
    """The last pod was still there, about to end."""
    patched: float
    """From the call to the number 1 in a Deployment."""
    ready: float
    """From there to a ready endpoint: the pod's start."""
    released: float
    """From the ready endpoint to the begin of the call's computation in the pod."""
    answered: float
    """From the call to its answer."""


async def measure(stage: Stage, repeats: int, say: Any) -> list[Wake]:
    """So many wakes with no pod left, and as many while the last one still drains."""
    found: list[tuple[bool, Sent]] = []
    async with Callers(stage.target, NAMESPACE, MODEL) as callers:
        await callers.send(0.0)
        for number in range(2 * repeats):
            while_draining = bool(number % 2)

            async def at_zero() -> bool:
                is_zero = stage.timeline.replicas[-1][1] == 0 and stage.timeline.endpoints[-1][1] == 0
                pods = len(stage.kubelet.pods)
                return is_zero and (pods == 0 or while_draining)  # noqa: B023 - used within the round

            await eventually("zero pods", at_zero, _WAIT_SECONDS)
            call = await callers.send(0.0)
            if call.failure:
                raise RuntimeError(f"call {call.id} failed: {call.failure}")
            found.append((while_draining, call))
            say(f"{number + 1} of {2 * repeats}: {(call.answered or 0.0) - call.sent:.2f} s")
    runs = {
        one.call: one for one in ledger.read(stage.folder, [life.container for life in stage.kubelet.lives])
    }
    return [
        _wake(stage, call, runs[call.id].begun_seconds, while_draining=draining) for draining, call in found
    ]


def _wake(stage: Stage, call: Sent, begun: float, *, while_draining: bool) -> Wake:
    patched = next(at for at, number in stage.timeline.replicas if at > call.sent and number)
    ready = next(at for at, number in stage.timeline.endpoints if at > call.sent and number)
    return Wake(
        while_draining=while_draining,
        patched=patched - call.sent,
        ready=ready - patched,
        released=begun - ready,
        answered=(call.answered or begun) - call.sent,
    )


def table(wakes: Sequence[Wake]) -> str:
    """Markdown, in milliseconds."""
    rows = [
        "| | bar, p95 | p50 | p95 | max |",
        "|---|---|---|---|---|",
        _row("first call → scale patched", [one.patched for one in wakes], PATCHED_BAR_SECONDS),
        _row("scale patched → endpoint ready (the pod's start)", [one.ready for one in wakes]),
        _row("endpoint ready → the call is computed", [one.released for one in wakes], RELEASED_BAR_SECONDS),
        _row("first call → answer", [one.answered for one in wakes]),
    ]
    return "\n".join(rows)


def is_within_bars(wakes: Sequence[Wake]) -> bool:
    """Whether the 95th percentiles are."""
    patched, released = (
        nearest_rank(sorted(values), 0.95)
        for values in ([one.patched for one in wakes], [one.released for one in wakes])
    )
    return patched <= PATCHED_BAR_SECONDS and released <= RELEASED_BAR_SECONDS


def _row(what: str, values: Sequence[float], bar: float | None = None) -> str:
    ascending = sorted(values)
    shown = [f"{1000 * nearest_rank(ascending, share):.0f}" for share in (0.5, 0.95, 1.0)]
    limit = "" if bar is None else f"{1000 * bar:.0f}"
    return f"| {what}, ms | {limit} | {' | '.join(shown)} |"


def main() -> int:
    """The command; status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_replay.wake", description=__doc__)
    parser.add_argument(
        "--repeats", type=int, default=30, help="of each of the two kinds of wake (default 30)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy all logs and ledgers there")
    options = parser.parse_args()
    sandbox.ensure_inside("bench.live_replay.wake")
    with sandbox.working_folder(Path(tempfile.mkdtemp(prefix="wake-")), options.keep) as folder:
        wakes = asyncio.run(_run(folder, options.repeats))
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for draining, title in ((False, "no pod is left"), (True, "the last pod still drains")):
        print(
            f"\n{title}, {options.repeats} wakes\n\n{table([one for one in wakes if one.while_draining is draining])}"
        )
    return 0 if is_within_bars(wakes) else 1


async def _run(folder: Path, repeats: int) -> list[Wake]:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    async with asyncio.timeout(300 + 90 * repeats), raised(folder, SPEC, say) as stage:
        return await measure(stage, repeats, say)


if __name__ == "__main__":
    sys.exit(main())
