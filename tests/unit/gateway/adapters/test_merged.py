"""Several namespaces look like one collection to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from atheria_gateway.adapters.merged import merged
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, WatchEvent


def body(namespace: str, name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {}}


class Stream:
    """One namespace's watch, which the test feeds."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[WatchEvent | Exception] = asyncio.Queue()

    async def follow(self) -> AsyncIterator[WatchEvent]:
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    def put(self, *events: WatchEvent | Exception) -> None:
        for event in events:
            self.events.put_nowait(event)


async def take(source: AsyncIterator[WatchEvent], count: int) -> list[WatchEvent]:
    return [await asyncio.wait_for(anext(source), 10) for _ in range(count)]


def listed(*bodies: dict[str, Any]) -> Listed:
    return Listed(objects=bodies)


async def test_nothing_is_listed_before_every_namespace_is() -> None:
    one, two = Stream(), Stream()
    found = merged([one.follow(), two.follow()])
    one.put(listed(body("a", "x")), Changed(body=body("a", "y")), Deleted(body=body("a", "x")))
    waiting = asyncio.ensure_future(anext(found))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not done
    two.put(listed(body("b", "x")))
    first = await asyncio.wait_for(waiting, 10)
    assert first == listed(body("a", "x"), body("b", "x"))
    assert await take(found, 2) == [Changed(body=body("a", "y")), Deleted(body=body("a", "x"))]


async def test_a_namespace_that_is_listed_again_takes_nothing_from_the_others() -> None:
    one, two = Stream(), Stream()
    found = merged([one.follow(), two.follow()])
    one.put(listed(body("a", "x"), body("a", "y")))
    two.put(listed(body("b", "x")))
    await take(found, 1)
    one.put(Changed(body=body("a", "z")), listed(body("a", "y")))
    changes = await take(found, 4)
    assert changes[0] == Changed(body=body("a", "z"))
    gone = [one.body["metadata"] for one in changes if isinstance(one, Deleted)]
    assert gone == [{"namespace": "a", "name": "x"}, {"namespace": "a", "name": "z"}]
    assert changes[3] == Changed(body=body("a", "y"))


async def test_a_stream_that_fails_fails_the_whole() -> None:
    one, two = Stream(), Stream()
    found = merged([one.follow(), two.follow()])
    one.put(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        await take(found, 1)
