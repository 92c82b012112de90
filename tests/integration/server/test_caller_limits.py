"""A server that bounds each caller: who has its calls in flight gets no more, and the others do not notice."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
from websockets.sync.client import connect

from atheria_server.transport.status_details import ERROR_INFO, RETRY_INFO, STATUS
from tests.integration.server.harness import GATE_SOURCE, Server, eventually

SECONDS = 60
REFUSED = 'atheria_rejected_requests_total{model="m",reason="caller_limit"}'
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]})
KEYS = {"one": "lab", "two": "lab", "three": "notebook"}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class Caller:
    """Calls with one key."""

    def __init__(self, server: Any, stub: Any, key: str) -> None:
        self.server = server
        self.stub = stub
        self.key = key
        self.metadata = tuple(bearer(key).items())

    def begin(self, **parameters: Any) -> Any:
        request = self.stub.request(**parameters)
        return self.stub.oip.ModelInfer.future(request, timeout=SECONDS, metadata=self.metadata)

    def stream(self, *requests: Any) -> Any:
        return self.stub.oip.ModelStreamInfer(iter(requests), timeout=SECONDS, metadata=self.metadata)

    def rest(self) -> requests.Response:
        return requests.post(
            f"{self.server.http}/v2/models/m/infer", data=BODY, headers=bearer(self.key), timeout=SECONDS
        )

    def refused_over_grpc(self) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as refused:
            self.begin().result()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        return refused.value


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two calls for each caller."""
    path: Path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(
        "".join(f"sha256:{hashlib.sha256(k.encode()).hexdigest()} {name}\n" for k, name in KEYS.items())
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATHERIA_API_KEYS_FILE", str(path))
        patch.setenv("ATHERIA_CALLER_CONCURRENCY", "2")
        server = Server(GATE_SOURCE)
    with server:
        yield server


@pytest.fixture
def callers(bounded: Any) -> Iterator[tuple[Caller, Caller, Caller]]:
    """Two keys of the lab, and the notebook's."""
    with bounded.stub() as stub:
        one, two, three = (Caller(bounded, stub, key) for key in KEYS)
        yield one, two, three


def refusals(server: Any) -> float:
    """Of callers at their limit."""
    text = requests.get(f"{server.http}/metrics", timeout=SECONDS).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(REFUSED))


def test_a_caller_at_its_limit_is_refused_whichever_key_and_protocol_and_others_are_not(
    bounded: Any, callers: tuple[Caller, Caller, Caller], gate: Any
) -> None:
    one, two, notebook = callers
    before = refusals(bounded)
    held = one.begin(gate=gate.path)
    gate.wait_held()
    queued = two.begin()
    bounded.wait_in_flight(2)
    refused = one.refused_over_grpc()
    trailers = dict(refused.trailing_metadata())
    status = STATUS.FromString(trailers["grpc-status-details-bin"])
    info, retry = ERROR_INFO(), RETRY_INFO()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.seconds) == ("CALLER_LIMIT", 1)
    assert "'key:lab' has 2 calls in flight" in refused.details()
    answer = two.rest()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert refusals(bounded) == before + 2
    welcome = notebook.begin()
    bounded.wait_in_flight(3)
    gate.open()
    for call in (held, queued, welcome):
        assert call.result()
    assert two.rest().status_code == 200


def test_each_request_of_a_stream_or_a_websocket_counts(
    bounded: Any, callers: tuple[Caller, Caller, Caller], gate: Any
) -> None:
    one, two, notebook = callers
    first = one.stub.request(gate=gate.path, count=1)
    answers = one.stream(first, one.stub.request(count=1), one.stub.request(count=1))
    gate.wait_held()
    assert "calls in flight" in next(answers).error_message
    one.refused_over_grpc()
    url = bounded.http.replace("http", "ws", 1) + "/v2/models/m/stream"
    with (
        connect(url, additional_headers=bearer("two"), open_timeout=SECONDS) as theirs,
        connect(url, additional_headers=bearer("three"), open_timeout=SECONDS) as others,
    ):
        theirs.send(BODY)
        failure = json.loads(theirs.recv(timeout=SECONDS))
        assert (failure["code"], failure["reason"]) == ("RESOURCE_EXHAUSTED", "CALLER_LIMIT")
        others.send(BODY)
        bounded.wait_in_flight(3)
        gate.open()
        assert json.loads(others.recv(timeout=SECONDS))["index"] == 0
        rest = [answer.error_message for answer in answers]
        assert rest == [""] * 4, "a frame and a final answer for each of the two that were accepted"
        theirs.send(BODY)
        assert json.loads(theirs.recv(timeout=SECONDS))["index"] == 0
    assert notebook.rest().status_code == two.rest().status_code == 200


def test_calls_that_are_cancelled_give_their_places_back(
    bounded: Any, callers: tuple[Caller, Caller, Caller], gate: Any
) -> None:
    one, _, notebook = callers
    held = notebook.begin(gate=gate.path)
    gate.wait_held()
    for _ in range(10):
        calls = [one.begin(), one.stream(one.stub.request(count=1))]
        bounded.wait_in_flight(3)
        for call in calls:
            call.cancel()
        bounded.wait_in_flight(1)
    accepted = [one.begin(), one.begin()]
    bounded.wait_in_flight(3)
    one.refused_over_grpc()
    gate.open()
    for call in (held, *accepted):
        assert call.result()


def test_a_call_that_fails_gives_its_place_back(bounded: Any, callers: tuple[Caller, Caller, Caller]) -> None:
    one, _, _ = callers
    for _ in range(5):
        for parameters in ({"fail": "no"}, {"colour": "red"}):
            with pytest.raises(grpc.RpcError) as failed:
                one.begin(**parameters).result()
            assert failed.value.code() != grpc.StatusCode.RESOURCE_EXHAUSTED
    assert one.begin().result()


def test_without_keys_a_caller_is_its_address_over_both_protocols_and_no_header_changes_it(
    monkeypatch: pytest.MonkeyPatch, gate: Any
) -> None:
    monkeypatch.setenv("ATHERIA_CALLER_CONCURRENCY", "1")
    with Server(GATE_SOURCE) as server, server.stub() as stub:
        with gate.held(stub) as held:

            def rest(address: str) -> http.client.HTTPConnection:
                host, _, port = server.http.removeprefix("http://").partition(":")
                connection = http.client.HTTPConnection(
                    host, int(port), timeout=SECONDS, source_address=(address, 0)
                )
                connection.request("POST", "/v2/models/m/infer", BODY, {"x-forwarded-for": "10.0.0.1"})
                return connection

            here = rest("127.0.0.1")
            answer = here.getresponse()
            assert answer.status == 429
            assert "address:127.0.0.1" in json.loads(answer.read())["error"]
            there = rest("127.0.0.2")
            server.wait_in_flight(2)
        assert there.getresponse().status == 200
        assert held.result()
        for connection in (here, there):
            connection.close()
        eventually("a free place", lambda: stub.infer(stub.request())["y"].tolist() == [[2.0]])


def test_without_the_variable_a_caller_has_as_many_calls_as_fit(
    gate_server: Any, stub: Any, gate: Any
) -> None:
    with gate.held(stub):
        calls = [stub.begin(stub.request(np.ones((1, 1)))) for _ in range(10)]
        gate_server.wait_in_flight(11)
    for call in calls:
        assert call.result()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ATHERIA_CALLER_CONCURRENCY", "many", ("'many'", "from 1 to 1000000", "0 for no limit")),
        ("ATHERIA_GRPC_REFLECTION", "maybe", ("'maybe'", "on or off")),
    ],
)
def test_a_wrong_setting_ends_the_start_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv(variable, value)
    server = Server("builtin://echo")
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    for word in (variable, *words):
        assert word in server.lines[-1]
