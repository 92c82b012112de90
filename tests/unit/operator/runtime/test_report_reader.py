"""Reports are read once for each start of a pod, tried again with longer waits, and forgotten with the pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.runtime.ports import ReportError
from atheria_operator.runtime.report_reader import ReportReader

ANSWER = {"precision": {"policy": "int8"}, "weight_bytes": 5}


class Rig:
    """A reader with its port and its clock."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.now_seconds = 100.0
        self.reports: dict[str, Mapping[str, Any]] = {}
        ports: Any = self
        self.reader = ReportReader(ModelKey(namespace="demo", name="qca"), ports, ports, self.reports)

    async def fetch(self, url: str, **_: Any) -> Any:
        self.asked.append(url)
        answer = self.answers.get(url, ANSWER)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    def jitter(self) -> float:
        return 0.0

    async def round(self, *pods: Any) -> tuple[bool, float | None]:
        return await self.reader.round(Observed(pods=pods))


def pod(name: str = "p", *, ready: bool = True, address: str = "10.0.0.1", started: str = "1") -> Any:
    return {
        "metadata": {"name": name, "uid": name, "labels": {names.LABEL_REVISION: "abc"}},
        "status": {
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "model", "state": {"running": {"startedAt": started}}}],
        },
    }


URL = f"http://10.0.0.1:8000{names.PATH_OPTIMIZATION}"


async def test_a_ready_pod_is_asked_once() -> None:
    rig = Rig()
    assert await rig.round(pod(ready=False)) == (False, None)
    assert await rig.round(pod(address="")) == (False, None)
    assert await rig.round(pod()) == (True, None)
    assert await rig.round(pod()) == (False, None)
    assert rig.asked == [URL]
    assert rig.reports == {
        "p/1": {"precision": {"revision": "qca-abc", "pod": "p", "chosen": "int8", "weightBytes": 5}}
    }


async def test_a_restarted_container_is_asked_again_and_a_pod_that_went_is_forgotten() -> None:
    rig = Rig()
    await rig.round(pod())
    assert await rig.round(pod(started="2")) == (True, None)
    assert list(rig.reports) == ["p/2"]
    await rig.round()
    assert rig.reports == {}


async def test_a_failure_is_tried_again_later_and_later_and_delays_nobody_else() -> None:
    rig = Rig()
    other = pod("q", address="10.0.0.2")
    rig.answers[URL] = ReportError("no route")
    assert await rig.round(pod(), other) == (True, 0.5)
    assert list(rig.reports) == ["q/1"]
    assert await rig.round(pod(), other) == (False, 0.5)
    assert rig.asked.count(URL) == 1
    rig.now_seconds += 0.5
    assert await rig.round(pod(), other) == (False, 1.0)
    rig.now_seconds += 1.0
    del rig.answers[URL]
    assert await rig.round(pod(), other) == (True, None)
    assert set(rig.reports) == {"p/1", "q/1"}


async def test_a_server_without_reports_is_not_asked_for_ever() -> None:
    rig = Rig()
    rig.answers[URL] = ReportError("404", is_final=True)
    assert await rig.round(pod()) == (False, None)
    assert await rig.round(pod()) == (False, None)
    assert rig.asked == [URL]
    assert rig.reports == {"p/1": {}}
