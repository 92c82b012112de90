"""A deletion that no watch told of is found by listing, wakes its model once, and makes nothing else look gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.ports import ClusterError
from atheria_operator.runtime.presence import Known, Presence

A, B = (ModelKey(namespace="demo", name=name) for name in "ab")


class Rig:
    """A presence check with its ports."""

    def __init__(self) -> None:
        self.live: dict[str, set[str]] = {"Deployment": {"1", "2"}, "Pod": {"3"}}
        self.known = {
            "Deployment": [Known(uid="1", key=A), Known(uid="2", key=B)],
            "Pod": [Known(uid="3", key=A)],
        }
        self.woken: list[ModelKey] = []
        self.listed: list[str] = []
        ports: Any = self
        self.checks = 0
        self.presence = Presence(ports, ports, lambda: self.known, self.woken.append, every_seconds=180)

    async def uids(self, kind: str) -> frozenset[str]:
        self.listed.append(kind)
        # What is made while the list is on its way is not gone for being in neither.
        self.known["Deployment"] = [*self.known["Deployment"], Known(uid="new", key=B)]
        return frozenset(self.live[kind])


async def test_what_is_there_is_there() -> None:
    rig = Rig()
    await rig.presence.check()
    assert rig.presence.gone == frozenset()
    assert rig.woken == []


async def test_a_lost_deletion_is_found_and_wakes_its_model_once() -> None:
    rig = Rig()
    rig.live["Deployment"] = {"2", "new"}
    await rig.presence.check()
    await rig.presence.check()
    assert rig.presence.gone == {"1"}
    assert rig.woken == [A]
    # The watches have noticed at last.
    rig.known = {"Deployment": [Known(uid="2", key=B)], "Pod": []}
    await rig.presence.check()
    assert rig.presence.gone == frozenset()


async def test_a_list_that_fails_makes_nothing_gone() -> None:
    rig = Rig()

    async def fail(_: str) -> frozenset[str]:
        raise ClusterError(503, "away")

    rig.uids = fail  # type: ignore[method-assign]
    with pytest.raises(ClusterError):
        await rig.presence.check()
    assert rig.presence.gone == frozenset()


async def test_kinds_of_which_nothing_is_known_are_not_listed() -> None:
    rig = Rig()
    rig.known["Pod"] = []
    await rig.presence.check()
    assert rig.listed == ["Deployment"]


async def test_after_an_outage_it_is_looked_soon_and_more_than_once() -> None:
    rig = Rig()
    looked = asyncio.Event()

    def known() -> Any:
        rig.checks += 1
        if rig.checks == 2:
            looked.set()
        return rig.known

    ports: Any = rig
    presence = Presence(
        ports, ports, known, rig.woken.append, every_seconds=3600, after_outage_seconds=(0.0, 0.0)
    )
    rig.live["Deployment"] = {"2", "new"}
    task = asyncio.create_task(presence.run())
    try:
        # Without the outage the first look would come after an hour.
        presence.hurry()
        async with asyncio.timeout(20):
            await looked.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert presence.gone == {"1"}
    assert rig.woken == [A]
