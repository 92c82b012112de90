"""Starting pods are asked how far they are, at a bounded rate, and waiting ones have their Events read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.pods import Told
from atheria_operator.domain.status.phases import Phase
from atheria_operator.domain.status.rest import Rest
from atheria_operator.runtime.ports import ClusterError, ReportError
from atheria_operator.runtime.start_watcher import (
    ASK_SECONDS,
    PER_SECOND,
    PODS_ASKED,
    REST_SECONDS,
    StartWatcher,
)

KEY = ModelKey(namespace="demo", name="qca")
URL = f"http://10.0.0.1:8000{names.PATH_READY}"


class Rig:
    """A watcher with its ports and its clock."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Any = {"ready": False, "reason": "the model is not loaded yet: compiling 1 of 2"}
        self.events: Any = [{"reason": "TriggeredScaleUp", "message": "0->1", "lastTimestamp": "t"}]
        self.now_seconds = 100.0
        self.told: dict[str, Told] = {}
        self.starting: set[ModelKey] = set()
        self.rests: dict[str, Rest] = {}
        ports: Any = self
        self.watcher = StartWatcher(KEY, ports, ports, ports, self.told, self.starting, self.rests)

    async def fetch(self, url: str, *, may_be_unready: bool, **_: Any) -> Any:
        assert may_be_unready
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def events_of_pod(self, namespace: str, uid: str) -> Sequence[Mapping[str, Any]]:
        self.asked.append(f"events of {namespace}/{uid}")
        if isinstance(self.events, Exception):
            raise self.events
        found: Sequence[Mapping[str, Any]] = self.events
        return found

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    async def round(self, *pods: Any) -> tuple[bool, float | None]:
        return await self.watcher.round(Observed(pods=pods))


def pod(name: str = "p", *, ready: bool = False, running: bool = True) -> Any:
    state = {"running": {"startedAt": "1"}} if running else {}
    return {
        "metadata": {"name": name, "uid": name},
        "status": {
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "model", "state": state}],
        },
    }


async def test_a_running_pod_is_asked_until_it_is_ready() -> None:
    rig = Rig()
    assert await rig.round(pod()) == (True, ASK_SECONDS)
    step = rig.told["p/1"].step
    assert step is not None
    assert (step.phase, step.done) == (Phase.COMPILING, 1)
    # Not at every wake of the model.
    assert await rig.round(pod()) == (False, ASK_SECONDS)
    assert rig.asked == [URL]
    rig.now_seconds += ASK_SECONDS
    rig.answer = {"ready": False, "reason": "the model is not loaded yet: compiling 2 of 2"}
    assert (await rig.round(pod()))[0]
    assert await rig.round(pod(ready=True)) == (False, None)
    assert rig.told == {}
    assert rig.starting == set()


async def test_an_answer_that_does_not_come_keeps_the_last_step() -> None:
    rig = Rig()
    await rig.round(pod())
    rig.answer = ReportError("http://10.0.0.1: refused")
    rig.now_seconds += ASK_SECONDS
    assert await rig.round(pod()) == (False, ASK_SECONDS)
    assert rig.told["p/1"].step is not None


async def test_of_a_pod_that_waits_the_events_are_read_less_often() -> None:
    rig = Rig()
    assert (await rig.round(pod(running=False)))[0]
    assert rig.told["p/"].words.node_reason == "TriggeredScaleUp"
    rig.now_seconds += ASK_SECONDS
    await rig.round(pod(running=False))
    assert rig.asked == ["events of demo/p"]
    rig.now_seconds += 10
    rig.events = ClusterError(403, "no rights")
    assert not (await rig.round(pod(running=False)))[0]
    assert rig.told["p/"].words.node_reason == "TriggeredScaleUp"


async def test_the_more_models_start_the_less_often_each_is_asked() -> None:
    rig = Rig()
    rig.starting |= {ModelKey(namespace="demo", name=f"m{index}") for index in range(499)}
    _, after = await rig.round(pod())
    assert after == 500 / PER_SECOND


async def test_of_many_starting_pods_a_few_are_asked() -> None:
    rig = Rig()
    await rig.round(*(pod(f"p{index}") for index in range(50)))
    assert len(rig.asked) == PODS_ASKED


async def test_a_pod_that_sleeps_is_asked_seldom_and_is_no_start() -> None:
    rig = Rig()
    rig.answer = {"ready": False, "reason": "…", names.READY_STANDBY: {"state": "falling asleep"}}
    assert (await rig.round(pod()))[0]
    assert rig.rests == {"p/1": Rest()}
    rig.answer[names.READY_STANDBY] = {"state": "asleep", "freed_bytes": 7}
    rig.now_seconds += ASK_SECONDS
    # Until it says asleep it is asked as often as one that starts.
    assert (await rig.round(pod()))[0]
    assert rig.rests == {"p/1": Rest(is_asleep=True, freed_bytes=7)}
    assert await rig.round(pod()) == (False, REST_SECONDS)
    assert rig.starting == set()
    asked = len(rig.asked)
    rig.now_seconds += REST_SECONDS / 3
    await rig.round(pod())
    assert len(rig.asked) == asked
    rig.now_seconds += REST_SECONDS
    rig.answer = {"ready": False, "reason": "the model is not loaded yet: loading"}
    assert (await rig.round(pod()))[0], "its container started anew meanwhile"
    assert rig.rests == {}
