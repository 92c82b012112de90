"""One stream of watch events out of one for each namespace, for a gateway that serves named namespaces.

Used by `adapters.kube`. Whoever reads it sees one collection: a Listed when every namespace has been listed once, and from
then on changes only, also where one namespace is listed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from atheria_gateway.runtime.ports import Changed, Deleted, Listed, WatchEvent

_AHEAD = 100
"""Events that a namespace may be ahead of the reader."""


async def merged(streams: Sequence[AsyncIterator[WatchEvent]]) -> AsyncGenerator[WatchEvent]:
    """For ever; an exception of one stream ends all and is raised. Each stream begins with a Listed."""
    queue: asyncio.Queue[tuple[int, WatchEvent | BaseException]] = asyncio.Queue(_AHEAD)

    async def read(index: int, stream: AsyncIterator[WatchEvent]) -> None:
        try:
            async for event in stream:
                await queue.put((index, event))
        except Exception as error:  # noqa: BLE001 - raised by the reader below
            await queue.put((index, error))

    tasks = [asyncio.create_task(read(index, stream)) for index, stream in enumerate(streams)]
    known: list[set[str] | None] = [None] * len(streams)
    first: list[Mapping[str, Any]] = []
    early: list[WatchEvent] = []
    try:
        while True:
            index, event = await queue.get()
            if isinstance(event, BaseException):
                raise event
            names = known[index]
            is_complete = None not in known
            if isinstance(event, Listed) and names is None:
                known[index] = {_name(body) for body in event.objects}
                first += event.objects
                if None not in known:
                    yield Listed(objects=tuple(first))
                    first = []
                    for one in early:
                        yield one
                    early = []
                continue
            changes = _changes(event, names if names is not None else set())
            if not is_complete:
                early += changes
                continue
            for one in changes:
                yield one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _changes(event: WatchEvent, names: set[str]) -> list[WatchEvent]:
    """What the event changes of one namespace whose objects are `names`, which is brought up to date."""
    if isinstance(event, Changed):
        names.add(_name(event.body))
        return [event]
    if isinstance(event, Deleted):
        names.discard(_name(event.body))
        return [event]
    listed = {_name(body) for body in event.objects}
    gone = [Deleted(body=_metadata(name)) for name in sorted(names - listed)]
    names.clear()
    names.update(listed)
    return [*gone, *(Changed(body=body) for body in event.objects)]


def _name(body: Mapping[str, Any]) -> str:
    metadata = body["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _metadata(name: str) -> dict[str, Any]:
    """As much of an object as is known when it is gone."""
    namespace, _, own = name.partition("/")
    return {"metadata": {"namespace": namespace, "name": own}}
