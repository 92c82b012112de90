"""Details of refusals, packed messages, and connections that grow old, by clients that know nothing of Atheria."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton

from atheria_server.transport.status_details import ERROR_INFO, RETRY_INFO, STATUS
from tests.integration.server.harness import Server, tensor

SECONDS = 60


def test_a_full_queue_says_why_and_when_to_come_back(gate_server: Any, stub: Any, gate: Any) -> None:
    before = gate_server.metric("atheria_rejected_requests_total")
    with gate.held(stub):
        ahead = stub.begin(stub.request(np.ones((8, 1)), tag=7))
        gate_server.wait_in_flight(2)
        waiting = stub.begin(stub.request(np.ones((16, 1)), tag=1))
        gate_server.wait_in_flight(3)
        with pytest.raises(grpc.RpcError) as refused:
            stub.infer(stub.request())
    assert ahead.result()
    assert waiting.result()
    trailers = dict(refused.value.trailing_metadata())
    status = STATUS.FromString(trailers["grpc-status-details-bin"])
    info, retry = ERROR_INFO(), RETRY_INFO()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (status.code, status.message) == (8, refused.value.details())
    assert (info.reason, info.domain, retry.retry_delay.seconds) == ("QUEUE_FULL", "atheria.dev", 1)
    assert gate_server.metric("atheria_rejected_requests_total") == before + 1


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_packed_request_over_grpc_is_computed_like_any_other(gate_server: Any, coding: str) -> None:
    x = np.ones((2, 1000), np.float32)
    with triton.InferenceServerClient(gate_server.grpc) as client:
        answer = client.infer("m", [tensor("x", x)], compression_algorithm=coding)
        np.testing.assert_array_equal(answer.as_numpy("y"), 2 * x)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies_go_both_ways_over_http(gate_server: Any, coding: str, pack: Any) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 500], "data": [1.0] * 500}]}
    answer = requests.post(
        f"{gate_server.http}/v2/models/m/infer",
        data=pack(json.dumps(body).encode()),
        headers={"content-encoding": coding, "accept-encoding": coding},
        timeout=SECONDS,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-encoding"] == coding
    assert answer.json()["outputs"][0]["data"] == [2.0] * 500


def test_a_body_that_unpacks_beyond_the_largest_message_is_413(gate_server: Any) -> None:
    answer = requests.post(
        f"{gate_server.http}/v2/models/m/infer",
        data=gzip.compress(bytes(65 * 1024 * 1024), 1),
        headers={"content-encoding": "gzip"},
        timeout=SECONDS,
    )
    assert answer.status_code == 413
    assert "67108864" in answer.json()["error"]


def test_a_connection_that_grows_old_is_replaced_without_a_failed_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATHERIA_GRPC_CONNECTION_AGE_SECONDS", "0.2")
    with Server("builtin://echo") as server, server.stub() as stub:
        states: list[grpc.ChannelConnectivity] = []
        stub.channel.subscribe(states.append)
        calls = 0
        while states.count(grpc.ChannelConnectivity.READY) < 3:
            assert stub.infer(stub.request())["y"].tolist() == [[1.0]]
            calls += 1
            assert calls < 100_000, f"the connection was never replaced: {states}"
        assert server.metric('atheria_requests_total{code="OK",method="infer",model="m"}') == calls


def test_a_wrong_connection_age_ends_the_start_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATHERIA_GRPC_CONNECTION_AGE_SECONDS", "soon")
    server = Server("builtin://echo")
    try:
        assert server.wait_exit() == 1
        assert "ATHERIA_GRPC_CONNECTION_AGE_SECONDS is 'soon'; expected seconds" in server.lines[-1]
    finally:
        server.kill()
