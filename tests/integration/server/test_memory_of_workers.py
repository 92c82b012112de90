"""Workers on one device have memory of their own: one that takes too much leaves the others serving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.server.harness import Gate, Server, arrays

SOURCE = "python://greedy_model:GreedyApi"
TOO_MUCH = 1024 * 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with Server(SOURCE, "--workers", "2", "--max-latency", "60s") as running:
        yield running


def test_a_call_that_asks_for_too_much_memory_fails_alone_and_its_worker_lives(server: Any) -> None:
    with server.stub() as stub:
        with pytest.raises(grpc.RpcError) as failed:
            stub.infer(stub.request(take_bytes=TOO_MUCH))
        assert failed.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
        assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
        assert server.metric("atheria_worker_restarts_total") == 0


def test_a_worker_that_dies_for_memory_takes_no_call_of_another_worker_with_it(
    server: Any, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with server.stub() as stub:
        with gate.held(stub) as held:
            with pytest.raises(grpc.RpcError, match="the worker died") as failed:
                stub.infer(stub.request(take_bytes=TOO_MUCH, unchecked=True))
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert server.metric("atheria_model_ready") == 1
            # They wait in the queue for the dead worker's successor: the other one is held.
            others = {int(stub.infer(stub.request())["pid"][0]) for _ in range(3)}
        survivor = int(arrays(held.result())["pid"][0])
        assert survivor not in others
        assert arrays(held.result())["y"].tolist() == [[2.0]]
