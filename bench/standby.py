"""`python -m bench.standby --repeats 30`: how long the first call to a model in standby waits, on the real processes of bench.chaos.

One model of the built-in kind that keeps a ledger, on the CPU: nothing is moved, so what is measured is the way of the call and the wake
around it, not the copy of weights over a bus. The kubelet that is played probes as the pods' template says, once a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_operator.simulation.outcome import nearest_rank
from bench.chaos import sandbox
from bench.chaos.world import NAMESPACE, eventually
from bench.live_replay.callers import Callers
from bench.live_replay.stage import MODEL, Stage, raised

BAR_SECONDS: Final = 1.0
SPEC: Final[dict[str, Any]] = {
    "scaling": {
        "maxReplicas": 1,
        "target": 1,
        "idleTimeout": "1s",
        "scaleDownDelay": "0s",
        "keepAlive": "idleTimeout",
        "scaleToZero": {"mode": "sleep"},
    }
}
_WAIT_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Seconds of one first call."""

    answered: float
    """From the call to its answer."""
    ready: float
    """From the call to a ready endpoint in the EndpointSlice, for which it need not wait."""


async def measure(stage: Stage, repeats: int, say: Callable[[str], None]) -> list[Wake]:
    """So many wakes, each once the pod sleeps and its endpoint is not ready."""
    wakes: list[Wake] = []
    async with Callers(stage.target, NAMESPACE, MODEL) as callers:
        await callers.send(0.0)
        (pod,) = stage.kubelet.pods
        for _ in range(repeats):

            async def asleep() -> bool:
                status = (await stage.model()).get("status", {})
                return stage.timeline.endpoints[-1][1] == 0 and "freedBytes" in status.get("standby", {})

            await eventually("the pod's sleep", asleep, _WAIT_SECONDS)
            call = await callers.send(0.0)
            if call.failure or call.answered is None:
                raise RuntimeError(f"call {call.id} failed: {call.failure}")

            async def ready(since: float = call.sent) -> bool:
                return any(at > since and number for at, number in stage.timeline.endpoints)

            await eventually("a ready endpoint", ready, _WAIT_SECONDS)
            at = next(at for at, number in stage.timeline.endpoints if at > call.sent and number)
            wakes.append(Wake(answered=call.answered - call.sent, ready=at - call.sent))
            say(f"{len(wakes)} of {repeats}: answered after {wakes[-1].answered:.3f} s")
        if [one.name for one in stage.kubelet.pods] != [pod.name]:
            raise RuntimeError("the pod was replaced: not all of these were wakes")
    return wakes


def table(wakes: Sequence[Wake]) -> str:
    """Markdown, in milliseconds."""
    rows = ["| | bar | p50 | p95 | max |", "|---|---|---|---|---|"]
    for what, values, bar in (
        ("first call → answer", [one.answered for one in wakes], f"{1000 * BAR_SECONDS:.0f}"),
        ("first call → ready endpoint", [one.ready for one in wakes], ""),
    ):
        shown = [f"{1000 * nearest_rank(sorted(values), share):.0f}" for share in (0.5, 0.95, 1.0)]
        rows.append(f"| {what}, ms | {bar} | {' | '.join(shown)} |")
    return "\n".join(rows)


def main() -> int:
    """The command; status 1 where the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.standby", description=__doc__)
    parser.add_argument("--repeats", type=int, default=30, help="wakes (default 30)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy all logs there")
    options = parser.parse_args()
    if not sandbox.is_inside():
        key = Path(tempfile.mkdtemp(prefix="standby-")) / "key"
        key.write_text(secrets.token_hex(32), encoding="utf-8")
        os.environ[names.ENV_STANDBY_KEY_FILE] = str(key)
    sandbox.ensure_inside("bench.standby")
    folder = Path(os.environ[names.ENV_STANDBY_KEY_FILE]).parent
    before = os.getloadavg()[0]
    with sandbox.working_folder(folder, options.keep, "key"):
        wakes = asyncio.run(_run(folder, options.repeats))
    print(
        f"load average {before:.1f} before and {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} processors"
    )
    print(f"\n{len(wakes)} wakes\n\n{table(wakes)}")
    return 0 if all(one.answered <= BAR_SECONDS for one in wakes) else 1


async def _run(folder: Path, repeats: int) -> list[Wake]:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    async with asyncio.timeout(300 + 90 * repeats), raised(folder, SPEC, say) as stage:
        return await measure(stage, repeats, say)


if __name__ == "__main__":
    sys.exit(main())
