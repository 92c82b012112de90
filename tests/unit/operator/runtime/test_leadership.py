"""One writer at a time: the Lease under two operators, an API server that goes away, and clocks that jump."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain import election
from atheria_operator.domain.election import (
    FENCE_SECONDS,
    LEASE_SECONDS,
    Record,
    Seen,
    Step,
    lease_spec,
    look,
    read_lease,
)
from atheria_operator.runtime.leadership import Leadership, Replaced
from atheria_operator.runtime.ports import CONFLICT, ClusterError


class Store:
    """A Lease in memory, with the API server's precondition."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.is_away = False

    async def read(self) -> Record | None:
        if self.is_away:
            raise ClusterError(0, "connection refused")
        return self.record

    async def write(self, identity: str, before: Record | None) -> Record:
        if self.is_away:
            raise ClusterError(0, "connection refused")
        if before != self.record:
            raise ClusterError(CONFLICT, "the object has been modified")
        version = 1 if before is None else int(before.version) + 1
        self.record = Record(holder=identity, version=str(version))
        return self.record


class Clock:
    """A monotonic clock; the wall clock is never asked."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic_seconds(self) -> float:
        return self.seconds


def leadership(store: Store, clock: Any, identity: str, told: list[bool]) -> Leadership:
    return Leadership(store, identity, clock, told.append)


async def test_the_second_waits_until_the_first_has_been_silent_for_the_whole_lease() -> None:
    store, clock, told = Store(), Clock(), []
    first, second = leadership(store, clock, "a", told), leadership(store, clock, "b", told)
    assert await first._try()
    for _ in range(int(LEASE_SECONDS) - 1):
        assert not await second._try()
        clock.seconds += 1
        assert second.holder == "a"
        assert not second.may_write
    # A renewal counts from when it is seen, whatever times are written in it.
    assert await first._try()
    for _ in range(int(LEASE_SECONDS)):
        assert not await second._try()
        clock.seconds += 1
    assert await second._try()
    assert second.may_write
    assert not first.may_write


async def test_a_holder_that_cannot_renew_stops_writing_before_anybody_may_begin_and_goes_on_after() -> None:
    store, clock, told = Store(), Clock(), []
    first = leadership(store, clock, "a", told)
    assert await first._try()
    store.is_away = True
    clock.seconds += FENCE_SECONDS
    assert not await first._try()
    assert not first.may_write
    clock.seconds += 60
    store.is_away = False
    assert await first._try()
    assert first.may_write


async def test_a_renewal_that_comes_late_tells_that_it_may_write_again_though_nobody_saw_that_it_could_not() -> (
    None
):
    store, clock, told = Store(), Clock(), []
    first = leadership(store, clock, "a", told)
    assert await first._try()
    # The process had no processor for so long, or the API server was slow: no look fell into the time without the right.
    clock.seconds += FENCE_SECONDS
    assert await first._try()
    assert first.may_write
    assert told == [True, True]
    clock.seconds += FENCE_SECONDS - 0.1
    assert await first._try()
    assert told == [True, True]


class SlowStore(Store):
    """A Lease whose next write is answered late."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.delay_seconds = 0.0

    async def write(self, identity: str, before: Record | None) -> Record:
        self.clock.seconds += self.delay_seconds
        return await super().write(identity, before)


async def test_a_renewal_that_was_answered_too_late_to_write_by_it_is_told_with_the_next_one() -> None:
    clock, told = Clock(), []
    store = SlowStore(clock)
    first = leadership(store, clock, "a", told)
    assert await first._try()
    store.delay_seconds = FENCE_SECONDS + 1
    assert await first._try()
    assert not first.may_write
    assert told == [True]
    store.delay_seconds = 0.0
    assert await first._try()
    assert first.may_write
    assert told == [True, True]


async def test_a_holder_that_was_replaced_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atheria_operator.runtime.leadership.RETRY_SECONDS", 0.001)
    store, clock, told = Store(), Clock(), []
    first = leadership(store, clock, "a", told)
    stop = asyncio.Event()
    assert await first.acquire(stop)
    store.record = Record(holder="b", version="99")
    async with asyncio.timeout(10):
        with pytest.raises(Replaced, match="b holds the Lease"):
            await first.keep(stop)


async def test_a_released_lease_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atheria_operator.runtime.leadership.RETRY_SECONDS", 0.001)
    store, clock, told = Store(), Clock(), []
    first, second = leadership(store, clock, "a", told), leadership(store, clock, "b", told)
    stop = asyncio.Event()
    assert await first.acquire(stop)
    assert not await second._try()
    await first.release()
    assert not first.may_write
    assert await second._try()
    assert told == [True, False, True]


async def test_whoever_waits_can_be_stopped() -> None:
    store, clock = Store(), Clock()
    store.record = Record(holder="b", version="1")
    stop = asyncio.Event()
    stop.set()
    assert not await leadership(store, clock, "a", []).acquire(stop)


async def test_two_that_race_for_a_new_lease_are_told_apart_by_the_api_server() -> None:
    store, clock = Store(), Clock()
    first, second = leadership(store, clock, "a", []), leadership(store, clock, "b", [])
    before = await store.read()
    assert await first._try()
    with pytest.raises(ClusterError):
        await store.write("b", before)
    assert not await second._try()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30), st.booleans()), max_size=60))
def test_never_two_may_write_whatever_fails_when(steps: list[tuple[str, float, bool]]) -> None:
    async def play() -> None:
        store, clock = Store(), Clock()
        both = {name: leadership(store, clock, name, []) for name in "ab"}
        for name, gap, is_away in steps:
            clock.seconds += gap
            store.is_away = is_away
            await both[name]._try()
            assert not all(one.may_write for one in both.values())

    asyncio.run(play())


def test_the_lease_is_written_as_kubectl_and_others_read_it() -> None:
    now = "2026-01-01T00:00:00Z"
    spec = lease_spec("a", None, now)
    assert spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": int(LEASE_SECONDS),
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }
    record = read_lease({"metadata": {"resourceVersion": "7"}, "spec": spec})
    renewed = lease_spec("a", record, "2026-01-01T00:00:09Z")
    assert (renewed["acquireTime"], renewed["leaseTransitions"]) == (spec["acquireTime"], 0)
    assert lease_spec("b", record, "2026-01-01T00:00:09Z")["leaseTransitions"] == 1
    assert lease_spec("", record, now)["holderIdentity"] == ""


def test_a_lease_that_was_given_back_is_free_and_a_new_one_is_made() -> None:
    assert look(Seen(), None, "a", 0)[1] is Step.CREATE
    assert look(Seen(), Record(holder="", version="1"), "a", 0)[1] is Step.TAKE
    assert election.FENCE_SECONDS + election.RETRY_SECONDS < election.LEASE_SECONDS
