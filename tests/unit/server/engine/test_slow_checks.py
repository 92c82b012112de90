"""Calls that are long to check hold nobody up, by the order of what happens: the slow one ends only behind the quick one."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from atheria_server.core.batching import BatchPolicy
from atheria_server.core.errors import ExpiredError, FullError, InvalidCallError, NotBegunError
from atheria_server.core.infer import InferAnswer, InferRequest
from atheria_server.engine.calls import Call
from atheria_server.engine.engine import Engine as RealEngine
from atheria_server.engine.limits import EngineLimits
from atheria_server.engine.service import ModelService
from atheria_server.engine.slow_checks import SlowChecks
from atheria_server.models.contract import Arrays, InvalidRequestError, Parameters, ValidCall
from atheria_server.models.echo import EchoApi

WAIT_SECONDS = 60.0
SLOW, QUICK = 100, 1


class SlowlyCheckedEcho(EchoApi):
    """Long inputs are checked when the test says so."""

    def __init__(self) -> None:
        super().__init__({})
        self.go_on = threading.Event()
        self.began = threading.Event()
        self.is_refused = False

    def checks_slowly(self, inputs: Arrays, parameters: Parameters) -> bool:
        return any(array.size >= SLOW for array in inputs.values())

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        if self.checks_slowly(inputs, parameters):
            self.began.set()
            assert self.go_on.wait(WAIT_SECONDS), "nobody let the slow check go on"
        if self.is_refused:
            raise InvalidRequestError("not this one")
        return super().validate(inputs, parameters, streaming=streaming)


class Engine:
    """Answers at once."""

    def __init__(self) -> None:
        self.under_check = 0
        self.computed: list[Call] = []

    @contextmanager
    def checking(self) -> Iterator[None]:
        self.under_check += 1
        yield
        self.under_check -= 1

    def check_room(self) -> None:
        """There is some."""

    async def compute(self, call: Call, timeout_seconds: float | None) -> InferAnswer:
        self.computed.append(call)
        return InferAnswer(outputs=dict(call.inputs))


class Events:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        self.codes.append(code)

    def call_rejected(self, reason: str) -> None:
        pass


@pytest.fixture
def api() -> SlowlyCheckedEcho:
    return SlowlyCheckedEcho()


@pytest.fixture
def service(api: SlowlyCheckedEcho) -> ModelService:
    engine: Any = Engine()
    events: Any = Events()
    return ModelService(name="echo", api=api, engine=engine, events=events)


def request(api: EchoApi, size: int, **parameters: Any) -> InferRequest:
    spec = api.metadata().inputs[0]
    return InferRequest(
        model_name="echo", inputs={spec.name: np.zeros((1, size), np.float32)}, parameters=parameters
    )


async def is_set(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WAIT_SECONDS)


def run(body: Callable[[], Any]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * WAIT_SECONDS):
            await body()

    asyncio.run(bounded())


def test_others_are_answered_while_a_long_call_is_checked(
    service: ModelService, api: SlowlyCheckedEcho
) -> None:
    async def body() -> None:
        engine: Any = service.engine
        slow = asyncio.create_task(service.infer(request(api, SLOW)))
        await is_set(api.began)
        await service.infer(request(api, QUICK))
        assert not slow.done()
        assert engine.under_check == 1
        api.go_on.set()
        (output,) = (await slow).outputs.values()
        assert output.shape == (1, SLOW)
        assert engine.under_check == 0
        assert [call.is_accepted for call in engine.computed] == [False, True]

    run(body)


def test_a_refusal_in_the_thread_is_the_callers(service: ModelService, api: SlowlyCheckedEcho) -> None:
    async def body() -> None:
        api.go_on.set()
        api.is_refused = True
        with pytest.raises(InvalidCallError, match="not this one"):
            await service.infer(request(api, SLOW))

    run(body)


def test_a_deadline_passes_while_a_long_call_is_checked(
    service: ModelService, api: SlowlyCheckedEcho
) -> None:
    async def body() -> None:
        try:
            with pytest.raises(ExpiredError):
                await service.infer(request(api, SLOW, timeout=1000))
        finally:
            api.go_on.set()

    run(body)


class Gate:
    """Checks that go on when the test says so, and what became of them."""

    def __init__(self) -> None:
        self.go_on, self.began = threading.Event(), threading.Event()
        self.made: list[int] = []

    def check(self, number: int) -> Callable[[], None]:
        def made() -> None:
            self.began.set()
            assert self.go_on.wait(WAIT_SECONDS), "nobody let the check go on"
            self.made.append(number)

        return made


async def has_left(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


def test_more_than_may_wait_are_refused_and_who_leaves_is_not_checked() -> None:
    async def body() -> None:
        checks, gate = SlowChecks(waiting_max=2), Gate()
        first = asyncio.create_task(checks.run(gate.check(1), 1))
        await is_set(gate.began)
        leaving = asyncio.create_task(checks.run(gate.check(2), 1))
        await asyncio.sleep(0)
        with pytest.raises(FullError, match="at most 2 with"):
            await checks.run(gate.check(3), 1)
        await has_left(leaving)
        third = asyncio.create_task(checks.run(gate.check(3), 1))
        gate.go_on.set()
        await asyncio.gather(first, third)
        assert gate.made == [1, 3]

    run(body)


def test_a_check_whose_caller_has_left_keeps_its_place_until_it_ends() -> None:
    async def body() -> None:
        checks, gate = SlowChecks(waiting_max=1), Gate()
        leaving = asyncio.create_task(checks.run(gate.check(1), 1))
        await is_set(gate.began)
        await has_left(leaving)
        with pytest.raises(FullError, match="at most 1 with"):
            await checks.run(gate.check(2), 1)
        gate.go_on.set()
        while gate.made != [1, 3]:  # bounded by `run`
            await asyncio.sleep(0.01)
            with suppress(FullError):
                await checks.run(gate.check(3), 1)

    run(body)


def test_nothing_is_kept_of_who_left_while_it_waited() -> None:
    class Kept:
        def __call__(self) -> None:
            raise AssertionError("its caller has left")

    async def body() -> None:
        checks, gate = SlowChecks(), Gate()
        first = asyncio.create_task(checks.run(gate.check(1), 1))
        await is_set(gate.began)
        kept = Kept()
        leaving = asyncio.create_task(checks.run(kept, 1))
        await asyncio.sleep(0)
        await has_left(leaving)
        left = weakref.ref(kept)
        del kept, leaving
        gc.collect()
        assert left() is None
        gate.go_on.set()
        await first

    run(body)


def test_bytes_that_wait_are_bounded_and_one_alone_may_have_more() -> None:
    async def body() -> None:
        checks, gate = SlowChecks(waiting_bytes_max=10), Gate()
        large = asyncio.create_task(checks.run(gate.check(1), 1000))
        await is_set(gate.began)
        with pytest.raises(FullError, match=r"1000 bytes.* at most 64 with 10 bytes"):
            await checks.run(gate.check(2), 1)
        gate.go_on.set()
        await large
        await asyncio.gather(checks.run(gate.check(3), 4), checks.run(gate.check(4), 6))
        assert gate.made == [1, 3, 4]

    run(body)


def test_the_service_counts_the_bytes_of_texts_and_tensors(
    service: ModelService, api: SlowlyCheckedEcho, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    async def note(_: SlowChecks, check: Callable[[], Any], size_bytes: int) -> Any:
        counted.append(size_bytes)
        return check()

    monkeypatch.setattr(SlowChecks, "run", note)
    api.go_on.set()
    asked = request(api, SLOW, text="12345", number=7)
    asked.inputs = {**asked.inputs, "other": np.array([b"123", "45"], object)}

    async def body() -> None:
        with pytest.raises(InvalidCallError):
            await service.infer(asked)

    run(body)
    assert counted == [SLOW * 4 + 16 + 5 + 5]


def test_a_check_under_way_does_not_hold_the_process_up() -> None:
    program = """
import asyncio, threading
from atheria_server.engine.slow_checks import SlowChecks

async def main():
    began = threading.Event()
    def check():
        began.set()
        threading.Event().wait()
    task = asyncio.create_task(SlowChecks().run(check, 1))
    assert await asyncio.to_thread(began.wait, 60)
    task.cancel()

asyncio.run(main())
print("ended")
"""
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=2 * WAIT_SECONDS, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "ended\n", "")


async def turns_of_the_loop() -> None:
    """Enough for whatever waits for nothing else."""
    for _ in range(20):
        await asyncio.sleep(0)


def an_engine() -> RealEngine:
    """Loaded, and without a worker that would take a call."""
    anything: Any = None
    limits = EngineLimits(
        batches=BatchPolicy(max_batch_size=1, max_latency_seconds=0.0),
        max_queue_rows=4,
        max_queue_bytes=1 << 20,
        max_streams=1,
    )
    engine = RealEngine(limits=limits, events=anything, warm_up=anything, workers=[])
    engine.crew.was_ready = True
    return engine


def test_a_call_under_check_is_in_flight_and_accepted_while_the_server_drains() -> None:
    async def body() -> None:
        engine, checked = an_engine(), asyncio.Event()
        await engine.run()

        async def called() -> None:
            with engine.checking():
                await checked.wait()
            await engine.compute(Call(bucket="checked", is_accepted=True), None)

        call = asyncio.create_task(called())
        await asyncio.sleep(0)
        assert engine.in_flight == 1
        assert engine.standby.sleep() == "1 calls are in flight"
        finishing = asyncio.create_task(engine.finish(WAIT_SECONDS))
        await turns_of_the_loop()
        with pytest.raises(NotBegunError), engine.checking():
            pass
        with pytest.raises(NotBegunError):
            await engine.compute(Call(bucket="new"), None)
        assert engine.in_flight == 1
        checked.set()
        await turns_of_the_loop()
        assert engine.queue_depth == 1
        assert engine.in_flight == 1
        assert not finishing.done()
        call.cancel()
        assert await finishing == 0

    run(body)


def test_a_stopped_server_takes_no_call_however_long_it_was_checked() -> None:
    async def body() -> None:
        engine = an_engine()
        await engine.run()
        await engine.stop()
        with pytest.raises(NotBegunError):
            await engine.compute(Call(bucket="checked", is_accepted=True), None)

    run(body)
