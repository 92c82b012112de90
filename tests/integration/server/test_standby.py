"""A server in standby: orders to sleep and to wake with the model's token, and calls at every moment of both."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_contract.serving import ServingConfig, StandbyConfig
from atheria_contract.standby import standby_token, token_digest
from tests.integration.server.harness import GATE_SOURCE, Gate, Server, Stub, eventually

TOKEN = standby_token(b"k" * 32, "demo", "m")


def standing_by(folder: Path, *arguments: str) -> Server:
    """A server of two workers that may be put to sleep; it falls asleep at once unless `arguments` say another --drain-delay."""
    file = folder / "model.json"
    config = ServingConfig(
        name="m", source=GATE_SOURCE, workers=2, standby=StandbyConfig(token_digest=token_digest(TOKEN))
    )
    file.write_text(config.to_json())
    return Server.from_arguments("--config", str(file), *arguments)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with standing_by(tmp_path_factory.mktemp("standby")) as running:
        yield running


@pytest.fixture(autouse=True)
def awake(server: Server) -> None:
    assert ask(server, names.PATH_WAKE) == (200, {"state": names.STATE_AWAKE})
    eventually("the server to be ready", lambda: readiness(server)[0] == 200, 60)


@pytest.fixture
def stub(server: Server) -> Iterator[Stub]:
    with server.stub() as found:
        yield found


def ask(server: Server, path: str, *, token: str = TOKEN, method: str = "POST") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        server.http + path, method=method, headers={names.HEADER_STANDBY: token} if token else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def readiness(server: Server) -> tuple[int, dict[str, Any]]:
    return ask(server, names.PATH_READY, method="GET", token="")


def put_to_sleep(server: Server) -> dict[str, Any]:
    status, told = ask(server, names.PATH_SLEEP)
    assert status == 202, told
    asleep: dict[str, Any] = eventually(
        "the server to be asleep",
        lambda: (
            found
            if (found := readiness(server)[1].get("standby", {})).get("state") == names.STATE_ASLEEP
            else None
        ),
        60,
    )
    return asleep


def test_it_sleeps_says_what_that_freed_and_wakes_by_order(server: Server, stub: Stub) -> None:
    sleeps, wakes = (
        server.metric(name) for name in ("atheria_model_sleeps_total", "atheria_model_wake_seconds_count")
    )
    asleep = put_to_sleep(server)
    assert asleep["freed_bytes"] == 0
    assert "computes on the CPU" in asleep["note"]
    status, told = readiness(server)
    assert (status, told["reason"]) == (503, "the model is asleep: a call wakes it")
    assert ask(server, "/v2/health/live", method="GET") == (200, {"live": True})
    assert server.metric("atheria_model_asleep") == 1
    assert ask(server, names.PATH_WAKE) == (200, {"state": names.STATE_AWAKE})
    assert readiness(server)[0] == 200
    assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
    assert server.metric("atheria_model_sleeps_total") == sleeps + 1
    assert server.metric("atheria_model_wake_seconds_count") == wakes + 1
    assert server.metric("atheria_worker_restarts_total") == 0


def test_a_call_that_comes_while_it_sleeps_wakes_it_and_is_answered(server: Server, stub: Stub) -> None:
    put_to_sleep(server)
    assert stub.infer(stub.request([[4.0]]))["y"].tolist() == [[8.0]]
    eventually("the server to be ready", lambda: readiness(server)[0] == 200, 60)


def test_calls_in_flight_keep_it_awake(server: Server, stub: Stub, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with gate.held(stub) as held:
        status, told = ask(server, names.PATH_SLEEP)
        assert status == 409
        assert told["error"] == "not put to sleep: 1 calls are in flight"
        assert readiness(server)[0] == 200
    held.result()
    put_to_sleep(server)


def test_without_the_models_token_nobody_puts_it_to_sleep_or_wakes_it(server: Server) -> None:
    for token in ("", "wrong", standby_token(b"k" * 32, "demo", "other"), token_digest(TOKEN)):
        status, told = ask(server, names.PATH_SLEEP, token=token)
        assert (status, names.HEADER_STANDBY in told["error"]) == (403, True)
    put_to_sleep(server)
    assert ask(server, names.PATH_WAKE, token="wrong")[0] == 403
    assert readiness(server)[0] == 503


def test_a_server_that_is_not_told_to_stand_by_does_not_know_the_orders(gate_server: Server) -> None:
    assert ask(gate_server, names.PATH_SLEEP)[0] == 404
    assert readiness(gate_server)[0] == 200


def test_no_call_is_lost_or_computed_twice_while_it_falls_asleep_again_and_again(
    server: Server, stub: Stub
) -> None:
    def call(_: int) -> tuple[int, int]:
        answer = stub.infer(stub.request())
        return int(answer["pid"][0]), int(answer["serial"][0])

    # A lone caller: one computation a call.
    before = dict(call(0) for _ in range(20))
    with ThreadPoolExecutor(1) as caller:
        calling = caller.submit(lambda: [call(at) for at in range(100)])
        orders = 0
        while not calling.done():
            orders += ask(server, names.PATH_SLEEP)[0] == 202
        answered = calling.result()
    assert orders
    assert len(set(answered)) == 100
    for pid in {pid for pid, _ in answered}:
        serials = [serial for of, serial in answered if of == pid]
        assert serials == list(range(serials[0], serials[0] + len(serials))), "nothing was computed besides"
        assert pid not in before or serials[0] == before[pid] + 1


def test_a_worker_that_dies_asleep_is_replaced_and_the_server_serves(server: Server, stub: Stub) -> None:
    pid = int(stub.infer(stub.request())["pid"][0])
    put_to_sleep(server)
    os.kill(pid, signal.SIGKILL)
    server.wait_line("event=worker_died")
    assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
    eventually("the other worker", lambda: ask(server, names.PATH_SLEEP)[0] == 202, 120)


def test_a_call_while_it_falls_asleep_keeps_it_awake(tmp_path: Path) -> None:
    with standing_by(tmp_path, "--drain-delay", "60s") as server, server.stub() as stub:
        assert ask(server, names.PATH_SLEEP) == (202, {"state": "falling asleep"})
        assert readiness(server)[0] == 503
        assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
        assert readiness(server)[0] == 200
        assert server.metric("atheria_model_sleeps_total") == 0
        server.process.send_signal(signal.SIGINT)
