"""One run from its first model to its last comparison: load, faults, waves to zero and back, calm, and the final state."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from bench.chaos import actions, final_state, gateways, ledger, parts, verdict
from bench.chaos.api import Api
from bench.chaos.final_state import Compared
from bench.chaos.kubelet import Kubelet
from bench.chaos.load import Load
from bench.chaos.records import GRACE_ENDED, Call, Life
from bench.chaos.stalls import Stall, watch_stalls
from bench.chaos.world import MODELS, NAMESPACE, STEADY, TWINS, WAVES, World, eventually

START_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 120.0
PROGRESS_SECONDS: Final = 30.0
STREAM_SHARE: Final = 0.1
WAVE_SECONDS: Final = 60.0
"""A wave from zero to pods and back to zero takes no longer on average."""
_LAST_DEPTH: Final = 7777


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is asked for."""

    seconds: float
    """Of faults."""
    seed: int
    calls_per_second: float = 20.0
    """To the steady model; the one in waves gets half of it."""
    mean_gap_seconds: float = 6.0
    """Between faults."""
    without: frozenset[str] = frozenset()
    """Names of faults that do not happen."""
    gateways: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    verdict: verdict.Verdict
    calls: tuple[Call, ...]
    lives: tuple[Life, ...]
    faults: dict[str, int]
    """How many of each kind hit something."""
    waves: int
    """Times that a model went from zero to pods and back to zero."""
    complaints: tuple[str, ...]
    """What did not become as it was asked for, in time."""
    children: tuple[Compared, ...]
    own_ends: dict[str, list[int]]
    """Exit statuses of parts that ended by themselves."""
    tracebacks: dict[str, int]
    """In the parts' logs."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost without a reason and all ended as asked for."""
        return self.verdict.is_clean and not self.complaints and all(one.is_equal for one in self.children)


class Scenario:
    """`run` once."""

    def __init__(self, options: Options, folder: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._folder = folder
        self._say = say
        self._began = time.monotonic()
        self._faults: dict[str, int] = {}
        self._waves = 0
        self._complaints: list[str] = []
        self._load = Load(targets={}, namespace=NAMESPACE)

    def tell(self, sentence: str) -> None:
        """One line with the seconds since the load began."""
        self._say(f"{time.monotonic() - self._began:7.1f} s  {sentence}")

    async def run(self) -> Outcome:
        """All of it. Raises what a part of the run itself could not do; the product's faults are in the outcome."""
        with ControlPlane(controllers=True) as plane:
            async with Api(plane.kubeconfig) as api:
                return await self._on(World(plane, api), api)

    async def _on(self, world: World, api: Api) -> Outcome:
        operator_file, gateway_file = await asyncio.to_thread(world.install, self._folder)
        kubelet = Kubelet(api, self._folder)
        found = [
            gateways.build(number, gateway_file, self._folder, self.tell)
            for number in range(self._options.gateways)
        ]
        self._load.targets = {one.name: f"{one.address}:{names.PORT_GRPC}" for one in found}
        targets = actions.Targets(
            world=world,
            kubelet=kubelet,
            operator=parts.operator(operator_file, self._folder, self.tell),
            gateways=found,
        )
        running = [targets.operator, *(part for one in found for part in one.parts)]
        children: list[Compared] = []
        stalls: list[Stall] = []
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(part.run(), name=part.name) for part in running]
            background.append(tasks.create_task(kubelet.run(), name="kubelet"))
            background.append(tasks.create_task(watch_stalls(stalls), name="stalls"))
            background += [tasks.create_task(one.publish(world), name=one.name) for one in found]
            for model in MODELS:
                await world.create(model)
            for model in MODELS:
                await eventually(f"a revision of {model}", partial(_active, world, model), START_SECONDS)
            self._load.open()
            await self._disturb(targets)
            children = await self._finish(world)
            for task in background:
                task.cancel()
        kubelet.kill_all()
        self._complaints += [
            f"{life.container} did not end within its grace period"
            for life in kubelet.lives
            if life.killed_by == GRACE_ENDED
        ]
        self._complaints += [
            f"{part.name} ended by itself with status {status}"
            for one in found
            for part in one.parts
            for status in part.own_ends
        ]
        logs = [one.calls_log for one in found if one.calls_log.exists()]
        return Outcome(
            verdict=verdict.judge(
                self._load.calls,
                ledger.read(self._folder, [life.container for life in kubelet.lives]),
                kubelet.lives,
                verdict.routes_of(
                    "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
                ),
                {one.name: tuple(one.envoy.kills_seconds) for one in found},
                stalls,
            ),
            calls=tuple(self._load.calls),
            lives=tuple(kubelet.lives),
            faults=self._faults,
            waves=self._waves,
            complaints=tuple(self._complaints),
            children=tuple(children),
            own_ends={part.name: part.own_ends for part in running if part.own_ends},
            tracebacks={
                part.name: part.log.read_text(encoding="utf-8", errors="replace").count("Traceback (most")
                for part in running
            },
        )

    async def _disturb(self, targets: actions.Targets) -> None:
        """Load and faults for the asked time; the steady load goes on until the change that nothing disturbs is served."""
        self._began = time.monotonic()
        rng = random.Random(self._options.seed + 1)
        stop, over = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                self._load.run(
                    STEADY,
                    per_second=self._options.calls_per_second,
                    stream_share=STREAM_SHARE,
                    rng=random.Random(self._options.seed + 2),
                    stop=stop,
                )
            )
            progress = tasks.create_task(self._progress(targets.kubelet))
            waves = tasks.create_task(self._in_waves(targets.kubelet, targets.world, rng, over))
            await self._strike(targets)
            over.set()
            self.tell("faults are over; the last change of the spec")
            await targets.world.change(STEADY, "rollout", strategy="surge")
            await targets.world.change(STEADY, "concurrency", maxQueueDepth=_LAST_DEPTH)
            for model in MODELS:
                await targets.world.create(model, TWINS)
            await self._expect(
                "under load", partial(final_state.complaint_under_load, targets.world, STEADY), STEADY
            )
            stop.set()
            await waves
            if self._waves < int(self._options.seconds / WAVE_SECONDS):
                self._complaints.append(f"{self._waves} waves in {self._options.seconds:g} s")
            progress.cancel()
        await self._load.finish()
        self.tell(f"no more calls; {self._load.in_flight} without an answer")

    async def _strike(self, targets: actions.Targets) -> None:
        drawn = actions.schedule(
            self._options.seed,
            until_seconds=self._options.seconds,
            mean_gap_seconds=self._options.mean_gap_seconds,
            without=self._options.without,
        )
        async with asyncio.TaskGroup() as tasks:
            for one in drawn:
                await asyncio.sleep(max(0.0, self._began + one.at_seconds - time.monotonic()))
                tasks.create_task(self._hit(targets, one), name=one.name)

    async def _hit(self, targets: actions.Targets, one: actions.Drawn) -> None:
        began = time.monotonic()
        words = await one.fault(targets, random.Random(one.seed))
        took = time.monotonic() - began
        if words:
            self._faults[one.name] = self._faults.get(one.name, 0) + 1
        waited = f" (took {took:.1f} s)" if took > 2 else ""
        self.tell(f"{one.name}: {words or 'nothing to hit'}{waited}")

    async def _in_waves(
        self, kubelet: Kubelet, world: World, rng: random.Random, over: asyncio.Event
    ) -> None:
        """Calls until they were answered for a while, then none until the last pod is gone; again until faults are over."""
        while not over.is_set():
            stop = asyncio.Event()
            first = len(self._load.calls)
            calls = asyncio.create_task(
                self._load.run(
                    WAVES,
                    per_second=self._options.calls_per_second / 2,
                    stream_share=STREAM_SHARE,
                    rng=random.Random(rng.randrange(2**32)),
                    stop=stop,
                )
            )
            try:
                await self._within(
                    "an answer to the first calls of a wave",
                    partial(_any_answered, self._load.calls, first, WAVES),
                )
                await asyncio.sleep(rng.uniform(6, 12))
            finally:
                stop.set()
                await calls

            async def at_zero() -> bool:
                asks = any(item["spec"]["replicas"] for item in await world.deployments(WAVES))
                return not asks and not any(pod.model == WAVES for pod in kubelet.pods)

            if await self._within(f"no pod of {WAVES} without calls", at_zero):
                self._waves += 1

    async def _within(self, what: str, look: Callable[[], Awaitable[Any]]) -> bool:
        try:
            await eventually(what, look, SETTLE_SECONDS)
        except TimeoutError as error:
            self._complaints.append(str(error))
            self.tell(f"NOT AS ASKED: {error}")
            return False
        return True

    async def _expect(self, when: str, complain: Callable[[], Awaitable[str]], model: str) -> None:
        """Wait until nothing is to be complained of; keep the last complaint when it does not come to that."""
        last = ""

        async def fine() -> bool:
            nonlocal last
            last = await complain()
            return not last

        try:
            await eventually(model, fine, SETTLE_SECONDS)
            self.tell(f"{model} {when}: as asked for")
        except TimeoutError:
            self._complaints.append(f"{model} {when}: {last}")
            self.tell(f"NOT AS ASKED: {model} {when}: {last}")

    async def _finish(self, world: World) -> list[Compared]:
        children: list[Compared] = []
        for model in MODELS:
            await self._expect("at zero", partial(final_state.complaint_at_zero, world, model), model)
            children += await final_state.compare_children(world, model)
        return children

    async def _progress(self, kubelet: Kubelet) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            calls = self._load.calls
            failed = sum(1 for call in calls if call.failure)
            self.tell(
                f"— {len(calls)} calls, {failed} failed, {self._load.in_flight} under way, {len(kubelet.pods)} pods, "
                f"{self._waves} waves"
            )


async def _active(world: World, model: str) -> bool:
    return bool((await world.model(model)).get("status", {}).get("activeRevision"))


async def _any_answered(calls: list[Call], first: int, model: str) -> bool:
    return any(call.is_answered for call in calls[first:] if call.model == model)
