"""Pods are asked and marked only before some of them go, and what was marked in vain is taken back."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.deletion_costs import DeletionCosts
from atheria_operator.runtime.ports import CONFLICT, ClusterError, ObjectRef, ReportError


class Rig:
    """Ports of the costs, also their recorder; pods answer by the last number of their address."""

    def __init__(self, **in_flight: Any) -> None:
        self.in_flight = in_flight
        self.asked: list[str] = []
        self.written: list[tuple[str, str, int | None]] = []
        self.is_refusing = False
        ports: Any = self
        self.costs = DeletionCosts(ModelKey(namespace="demo", name="qca"), ports, ports)

    async def fetch(self, url: str, **_: Any) -> Any:
        self.asked.append(url)
        calls = self.in_flight[url.removeprefix("http://").partition(":")[0]]
        if isinstance(calls, Exception):
            raise calls
        return calls if isinstance(calls, (dict, list)) else {"ready": True, names.READY_IN_FLIGHT: calls}

    async def fetch_text(self, url: str) -> str:
        self.asked.append(url)
        return str(self.in_flight[url.removeprefix("http://").partition(":")[0]])

    async def set_deletion_cost(self, pod: ObjectRef, uid: str, cost: int | None) -> None:
        assert (pod.kind, pod.namespace) == ("Pod", "demo")
        if self.is_refusing:
            raise ClusterError(CONFLICT, "another uid")
        self.written.append((pod.name, uid, cost))


def pod(name: str, *, ready: bool = True, cost: str | None = None) -> Any:
    annotations = {} if cost is None else {"annotations": {names.ANNOTATION_DELETION_COST: cost}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", **annotations},
        "status": {
            "podIP": name,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


async def test_the_idle_pod_is_marked_by_one_write_and_the_busy_ones_by_none() -> None:
    rig = Rig(a=2, b=0, c=1)
    await rig.costs.mark([pod("a"), pod("b"), pod("c")], 2)
    assert rig.written == [("b", "uid-b", -1)]
    assert rig.asked == [f"http://{name}:8000{names.PATH_READY}" for name in "abc"]


async def test_nobody_is_asked_when_all_go_or_none() -> None:
    rig = Rig()
    for wanted in (0, 2, 3):
        await rig.costs.mark([pod("a"), pod("b")], wanted)
    assert (rig.asked, rig.written) == ([], [])


async def test_what_is_written_already_is_not_written_again_and_what_is_stale_is_taken_back() -> None:
    rig = Rig(a=2, b=0, c=1)
    await rig.costs.mark([pod("a", cost="-1"), pod("b", cost="-1"), pod("c")], 2)
    assert rig.written == [("a", "uid-a", None)]


async def test_pods_that_are_not_ready_are_not_asked_they_go_first_anyhow() -> None:
    rig = Rig(a=2, b=0)
    await rig.costs.mark([pod("a"), pod("starting", ready=False), pod("b")], 1)
    assert rig.written == [("b", "uid-b", -1)]


async def test_a_pod_with_a_cost_of_a_person_keeps_it() -> None:
    rig = Rig(b=0, c=3)
    await rig.costs.mark([pod("a", cost="100"), pod("b"), pod("c")], 2)
    assert rig.written == [("b", "uid-b", -1)]


async def test_answers_that_say_nothing_count_as_busy() -> None:
    rig = Rig(
        a=ReportError("no answer"), b=0, c={"ready": True}, d=["?"], e={names.READY_IN_FLIGHT: "many"}, f=-1
    )
    pods = [pod(name) for name in "abcdef"]
    await rig.costs.mark(pods, 5)
    assert rig.written == [("b", "uid-b", -1)]


async def test_a_refused_write_does_not_keep_the_decision_from_being_written() -> None:
    rig = Rig(a=1, b=0)
    rig.is_refusing = True
    await rig.costs.mark([pod("a"), pod("b")], 1)
    assert rig.written == []


async def test_marks_are_taken_back_once_no_pod_goes_any_more() -> None:
    rig = Rig()
    pods = [pod("a", cost="-1"), pod("b"), pod("c", cost="5")]
    await rig.costs.take_back(pods, 2)
    assert rig.written == []
    await rig.costs.take_back(pods, 3)
    assert rig.written == [("a", "uid-a", None)]
    assert rig.asked == []


async def test_a_container_of_the_users_is_asked_for_its_metrics_and_one_that_shows_none_may_be_busy() -> (
    None
):
    def custom(name: str, series: str = "running,waiting") -> Any:
        found = pod(name)
        found["metadata"]["labels"] = {names.LABEL_RUNTIME: names.RUNTIME_CUSTOM}
        if series:
            found["metadata"]["annotations"] = {names.ANNOTATION_IN_FLIGHT_METRICS: series}
        return found

    rig = Rig(a="running 1\nwaiting 3\n", b="running 1\nwaiting 0\n", c="other 0\n", d="")
    await rig.costs.mark([custom("a"), custom("b"), custom("c"), custom("d", "")], 3)
    assert rig.asked == [f"http://{name}:8000/metrics" for name in "abc"]
    assert rig.written == [("b", "uid-b", -1)]
