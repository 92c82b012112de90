"""A turn that comes to nothing is given back: others go on, and the model says why until its next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.rollout.wave import Member, Stage
from atheria_operator.runtime.ports import ClusterError, ObjectRef
from tests.unit.operator.runtime.test_reconciler_certificates import KEY, OWN, Rig

Bodies = Callable[..., dict[str, Any]]
OTHER = ModelKey(namespace="demo", name="zebra")
WAITS = Member(stage=Stage.WAITING, goes_first=True)


class Cluster(Rig):
    """Pods are about to speak TLS; a policy may refuse those that do, or somebody else's object be in the way."""

    def __init__(self) -> None:
        super().__init__()
        self.for_models = False
        self.refuses_new = False
        self.stranger = ""

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        template = body.get("spec", {}).get("template", {})
        if self.refuses_new and names.LABEL_TLS in template.get("metadata", {}).get("labels", {}):
            raise ClusterError(403, "exceeded quota")
        return await super().apply(body, manager=manager)

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        found = await super().read(ref)
        if found is None and ref.kind == self.stranger:
            return {"metadata": {"name": ref.name, "uid": "theirs"}}
        return found

    def change_settings(self) -> None:
        self.for_models = self.running_may_change = True

    def spoil(self, how: str) -> None:
        match how:
            case "Refused":
                self.refuses_new = True
            case "NameConflict":
                self.stranger = "Deployment"
            case "Secret":
                self.answer = Problem(reason="NameConflict", message="the Secret is somebody else's")

    def has_turn(self, key: ModelKey = KEY) -> bool:
        return self.wave.turn(key).is_given


@pytest.mark.parametrize(
    ("how", "spec", "reason"),
    [
        ("OwnCertificate", {"podTemplate": OWN}, "OwnCertificate"),
        ("Refused", {}, "Refused"),
        ("NameConflict", {}, "NameConflict"),
        ("Secret", {}, "NameConflict"),
    ],
)
async def test_a_model_whose_turn_ends_in_a_problem_gives_it_back_and_goes_on_saying_why(
    body: Bodies, how: str, spec: dict[str, Any], reason: str
) -> None:
    cluster = Cluster()
    mine = body(**spec)
    await cluster.round(mine)
    assert cluster.accepted()["status"] == "True"
    cluster.change_settings()
    cluster.spoil(how)
    await cluster.round(mine)
    assert cluster.has_turn()
    cluster.wave.tell(OTHER, WAITS)
    assert await cluster.round(mine) is not None
    assert cluster.has_turn(OTHER), "its place is kept for ever"
    assert OTHER in cluster.woken
    told = cluster.status
    cluster.wave.tell(OTHER, Member(stage=Stage.ROLLING))
    for _ in range(3):
        assert await cluster.round(mine) is not None
        assert cluster.status == told, "each change of the status wakes it again, and is an Event"
    assert cluster.accepted()["reason"] == reason
    assert list(cluster.revisions().values()) == [False], "the pods of before serve on"


async def test_what_was_refused_is_tried_again_in_a_later_turn(body: Bodies) -> None:
    cluster = Cluster()
    await cluster.round(body())
    cluster.change_settings()
    cluster.refuses_new = True
    await cluster.turn(body())
    assert not cluster.has_turn()
    cluster.refuses_new = False
    cluster.woken.clear()
    await cluster.turn(body())
    assert sorted(cluster.revisions().values()) == [False, True]
    assert cluster.accepted()["status"] == "True"


async def test_settings_that_are_set_back_end_the_complaint(body: Bodies) -> None:
    cluster = Cluster()
    await cluster.round(body())
    cluster.change_settings()
    cluster.refuses_new = True
    await cluster.turn(body())
    assert cluster.accepted()["reason"] == "Refused"
    cluster.for_models = False
    await cluster.round(body())
    assert cluster.accepted()["status"] == "True"
