"""The live half: calls at their times to the real processes, and what became of them and of the pods."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atheria_operator.simulation.calls import Call
from bench.chaos import ledger
from bench.chaos.world import NAMESPACE
from bench.live_replay.callers import PATIENCE_SECONDS, Callers
from bench.live_replay.figures import Figures, Learnt, learnt_of, live_figures
from bench.live_replay.stage import MODEL, Stage, raised

_PROGRESS_SECONDS: Final = 30.0
_SPARE_SECONDS: Final = 400.0
"""For the start and the end of all processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What came of it."""

    figures: Figures
    learnt: Learnt
    late_sending_seconds: float
    """How much behind its time a call was sent at most: of this process, not of the product."""
    failures: tuple[str, ...]
    """Of calls, in their callers' words."""


async def replay(
    calls: Sequence[Call],
    spec: dict[str, Any],
    folder: Path,
    *,
    seconds: float,
    tail_seconds: float,
    limit_seconds: float,
    say: Callable[[str], None],
) -> Live:
    """Play `calls` (of `seconds`) against a model with `spec`, which is at zero at first; its pods are followed for `tail_seconds` more."""
    async with asyncio.timeout(seconds + tail_seconds + PATIENCE_SECONDS + _SPARE_SECONDS):
        async with raised(folder, spec, say) as stage:
            return await _play(stage, calls, tail_seconds=tail_seconds, limit_seconds=limit_seconds, say=say)


async def _play(
    stage: Stage,
    calls: Sequence[Call],
    *,
    tail_seconds: float,
    limit_seconds: float,
    say: Callable[[str], None],
) -> Live:
    async with Callers(stage.target, NAMESPACE, MODEL) as callers, asyncio.TaskGroup() as tasks:
        progress = tasks.create_task(_tell(stage, callers, say))
        begin = time.monotonic()
        sending = []
        behind = 0.0
        for call in calls:
            await asyncio.sleep(max(0.0, begin + call.arrival_seconds - time.monotonic()))
            behind = max(behind, time.monotonic() - begin - call.arrival_seconds)
            sending.append(tasks.create_task(callers.send(call.service_seconds)))
        answered = [call.answered or 0.0 for call in await asyncio.gather(*sending)]
        end = max(begin + calls[-1].arrival_seconds + tail_seconds, *answered)
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        progress.cancel()
    price = ((await stage.model()).get("status", {}).get("cost") or {}).get("usdPerHour")
    await stage.pods_are_gone()
    runs = ledger.read(stage.folder, [life.container for life in stage.kubelet.lives])
    pods, replicas = stage.timeline.lives, stage.timeline.replicas
    return Live(
        figures=live_figures(
            callers.calls, runs, pods, replicas, begin=begin, end=end, limit_seconds=limit_seconds
        ),
        learnt=learnt_of(runs, pods, replicas, None if price is None else float(price)),
        late_sending_seconds=behind,
        failures=tuple(call.failure for call in callers.calls if call.failure),
    )


async def _tell(stage: Stage, callers: Callers, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        open_calls = sum(1 for call in callers.calls if call.answered is None)
        asked = stage.timeline.replicas[-1][1] if stage.timeline.replicas else 0
        say(
            f"{len(callers.calls)} calls sent, {open_calls} open, {asked} pods asked for, {len(stage.kubelet.pods)} there"
        )
