"""Frames by server-sent events and by WebSocket, with `requests` and `websockets` as they are."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.integration.server.harness import CALL_SECONDS, GATE_SOURCE, Server, eventually

SIZE = {"height": 16, "width": 16}


def body(*, name: str = "x", **parameters: Any) -> dict[str, Any]:
    item = {"name": name, "datatype": "FP32", "shape": [1, 1], "data": [1.5]}
    return {"id": "s", "inputs": [item], "parameters": parameters}


def qca_body(**parameters: Any) -> dict[str, Any]:
    seed = {"name": "seed", "datatype": "INT64", "shape": [1], "data": [7]}
    return {"inputs": [seed], "outputs": [{"name": "state"}], "parameters": {**SIZE, **parameters}}


def post(server: Any, document: Any, query: str = "", **headers: str) -> requests.Response:
    return requests.post(
        f"{server.http}/v2/models/{server.name}/infer_stream{query}",
        json=document,
        headers=headers,
        stream=True,
        timeout=CALL_SECONDS,
    )


def events(answer: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = ""
    for line in answer.iter_lines(decode_unicode=True):
        key, _, value = line.partition(": ")
        if key == "event":
            kind = value
        elif key == "data":
            yield kind, json.loads(value)


def socket_url(server: Any, query: str = "") -> str:
    return f"{server.http.replace('http', 'ws', 1)}/v2/models/{server.name}/stream{query}"


def send_six(ws: Any) -> None:
    """More than may wait; then read until the server has something to say."""
    for _ in range(6):
        ws.send(json.dumps(body(count=1)))
    ws.recv(timeout=CALL_SECONDS)


@pytest.fixture
def ws(gate_server: Any) -> Iterator[Any]:
    with connect(socket_url(gate_server), open_timeout=CALL_SECONDS) as found:
        yield found


def receive(ws: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ws.recv(timeout=CALL_SECONDS))
    return found


def until_end(ws: Any) -> list[dict[str, Any]]:
    found = [receive(ws)]
    while "index" in found[-1]:
        found.append(receive(ws))
    return found


@contextlib.contextmanager
def viewer(server: Any, way: str, document: Any) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Sends the request at once; the function that it gives reads everything, and nothing is read before."""
    if way == "events":
        with post(server, document) as answer:
            yield lambda: [frame for _, frame in events(answer)]
        return
    with connect(
        socket_url(server), open_timeout=CALL_SECONDS, max_queue=1, ping_interval=None, max_size=None
    ) as ws:
        ws.send(json.dumps(document))
        yield lambda: until_end(ws)


def test_server_sent_events_carry_a_frame_each_and_then_the_end(gate_server: Any) -> None:
    answer = post(gate_server, body(count=3))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, (kind, final) = events(answer)
    assert [kind for kind, _ in frames] == ["frame"] * 3
    assert [frame["index"] for _, frame in frames] == [0, 1, 2]
    assert [frame["parameters"] for _, frame in frames] == [{"step": n} for n in (1, 2, 3)]
    assert [frame["outputs"][0]["data"] for _, frame in frames] == [[1.5], [3.0], [4.5]]
    assert all(frame["digest"].startswith("sha256:") and frame["id"] == "s" for _, frame in frames)
    assert (kind, final) == ("final", {"final": True, "id": "s", "frames": 3, "dropped": 0, "next": 3})


def test_a_websocket_answers_one_request_after_the_other(ws: Any) -> None:
    for count in (2, 4):
        ws.send(json.dumps(body(count=count)))
    first, second = until_end(ws), until_end(ws)
    assert [frame.get("index") for frame in first] == [0, 1, None]
    assert [frame.get("index") for frame in second] == [0, 1, 2, 3, None]
    assert second[-1] == {"final": True, "id": "s", "frames": 4, "dropped": 0, "next": 4}


def test_the_frames_of_both_ways_are_equal(gate_server: Any, ws: Any) -> None:
    ws.send(json.dumps(body(count=3)))
    assert [frame for _, frame in events(post(gate_server, body(count=3)))] == until_end(ws)


def test_a_stream_resumes_at_a_frame_with_the_same_digests_on_another_replica(qca_server: Any) -> None:
    asked = qca_body(steps=12, every=2, noise=0.2)
    whole = [frame for _, frame in events(post(qca_server, asked))]
    with Server("builtin://qca", "--set", "law=kerr", "--warmup-shape", "16,16,16", name="qca") as other:
        rest = [
            frame for _, frame in events(post(other, qca_body(steps=12, every=2, noise=0.2, from_frame=3)))
        ]
        last_seen = {"Last-Event-ID": "3"}
        after = [frame for _, frame in events(post(other, asked, **last_seen))]
    assert len(whole) == 7
    assert [(f["index"], f["digest"]) for f in rest[:-1]] == [(f["index"], f["digest"]) for f in whole[3:-1]]
    assert [f["index"] for f in after[:-1]] == [4, 5]
    assert after[-1]["next"] == 6


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown parameter", body(colour=1), "", "unknown parameter 'colour'"),
    ("unknown input", body(name="z"), "", "unknown input 'z'"),
    ("a frame before the first", body(from_frame=-1), "", "from_frame is -1"),
    ("a wrong policy", body(), "?slow=maybe", "slow is 'maybe'; allowed: drop, wait"),
]


@pytest.mark.parametrize(("document", "query", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_request_is_an_ordinary_400_or_one_error_message(
    gate_server: Any, document: dict[str, Any], query: str, words: str
) -> None:
    answer = post(gate_server, document, query)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    with connect(socket_url(gate_server, query), open_timeout=CALL_SECONDS) as ws:
        ws.send(json.dumps(document))
        error = receive(ws)
        assert words in error["error"]
        assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


def test_events_cannot_carry_binary_tensors(gate_server: Any) -> None:
    answer = post(gate_server, body(binary_data_output=True))
    assert answer.status_code == 400
    assert "events are JSON" in answer.json()["error"]


def test_a_websocket_takes_and_gives_binary_tensors_that_equal_those_of_json(ws: Any) -> None:
    x = np.array([[1.5, -2.0]], np.float32)
    asked = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
    ws.send(json.dumps({"inputs": [{**asked, "data": x.ravel().tolist()}], "parameters": {"count": 2}}))
    plain = until_end(ws)
    raw = {
        "inputs": [{**asked, "parameters": {"binary_data_size": x.nbytes}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        "parameters": {"count": 2},
    }
    head = json.dumps(raw).encode()
    ws.send(struct.pack("<I", len(head)) + head + x.tobytes())
    for expected in plain[:-1]:
        found = ws.recv(timeout=CALL_SECONDS)
        assert isinstance(found, bytes)
        length = struct.unpack_from("<I", found)[0]
        document = json.loads(found[4 : 4 + length])
        (output,) = document["outputs"]
        assert output["parameters"] == {"binary_data_size": len(found) - 4 - length}
        assert np.frombuffer(found[4 + length :], np.float32).tolist() == expected["outputs"][0]["data"]
        assert (document["index"], document["digest"]) == (expected["index"], expected["digest"])
    assert receive(ws) == plain[-1]


def test_a_single_answer_cannot_begin_at_a_frame(gate_server: Any) -> None:
    url = f"{gate_server.http}/v2/models/m/infer"
    answer = requests.post(url, json=body(from_frame=1), timeout=CALL_SECONDS)
    assert answer.status_code == 400
    assert "from_frame is for streams" in answer.json()["error"]


def test_a_failure_between_frames_is_the_last_message(ws: Any, gate_server: Any) -> None:
    ws.send(json.dumps(body(fail="out of paint")))
    error = receive(ws)
    assert "out of paint" in error["error"]
    assert (error["code"], error["next"]) == ("INTERNAL", 0)
    ws.send(json.dumps(body(count=1)))
    assert until_end(ws)[-1]["final"]


def test_an_unknown_model_has_no_websocket(gate_server: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(socket_url(gate_server).replace("/m/", "/nobody/"), open_timeout=CALL_SECONDS)
    assert refused.value.response.status_code == 404
    assert b"serves 'm'" in refused.value.response.body


@pytest.mark.parametrize("message", [b"", b"\x00", b"\x00\x00\x00\x00{}", b"\x03\x00\x00\x00{}"])
def test_a_binary_message_that_does_not_fit_its_length_is_an_error_message(ws: Any, message: bytes) -> None:
    ws.send(message)
    assert "begin with the JSON's length" in receive(ws)["error"]
    ws.send(json.dumps(body(count=1)))
    assert until_end(ws)[-1]["final"]


def test_impatient_viewers_are_told_why_they_are_disconnected(gate_server: Any, stub: Any, gate: Any) -> None:
    with (
        gate.held(stub),
        connect(socket_url(gate_server), open_timeout=CALL_SECONDS) as ws,
        pytest.raises(ConnectionClosed, match="more than 4 requests wait"),
    ):
        send_six(ws)


@pytest.mark.parametrize("way", ["websocket", "events"])
def test_a_viewer_that_reads_nothing_loses_frames_and_holds_nobody(way: str) -> None:
    big = {"name": "x", "datatype": "FP32", "shape": [1, 4096], "data": [0.123456789] * 4096}
    document = {"inputs": [big], "parameters": {"count": 400}}
    with Server(GATE_SOURCE) as server, server.stub() as stub, viewer(server, way, document) as read:
        eventually(
            "the end of the computation",
            lambda: server.metric('atheria_requests_total{code="OK",method="stream",model="m"}') == 1,
            60,
        )
        assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
        found = read()
        *frames, final = found
        indices = [frame["index"] for frame in frames]
        assert indices == sorted(set(indices))
        assert indices[-1] == 399
        assert final["dropped"] == 400 - len(frames) > 0
        eventually(
            "the count of dropped frames",
            lambda: server.metric("atheria_stream_frames_dropped_total") == final["dropped"],
        )


def test_a_viewer_that_asks_to_be_waited_for_gets_every_frame(gate_server: Any) -> None:
    big = {"name": "x", "datatype": "FP32", "shape": [1, 4096], "data": [0.5] * 4096}
    answer = post(gate_server, {"inputs": [big], "parameters": {"count": 200}}, "?slow=wait")
    gate_server.wait_in_flight(1)
    *frames, (_, final) = events(answer)
    assert [frame["index"] for _, frame in frames] == list(range(200))
    assert final["dropped"] == 0


@pytest.mark.parametrize("way", ["websocket", "events"])
def test_a_viewer_that_leaves_ends_the_computation(gate_server: Any, way: str) -> None:
    big = {"name": "x", "datatype": "FP32", "shape": [1, 4096], "data": [0.5] * 4096}
    document = {"inputs": [big], "parameters": {"count": 1_000_000}}
    if way == "websocket":
        with connect(socket_url(gate_server), open_timeout=CALL_SECONDS) as ws:
            ws.send(json.dumps(document))
            receive(ws)
    else:
        answer = post(gate_server, document)
        next(events(answer))
        answer.close()
    gate_server.wait_in_flight(0)


def test_a_server_that_ends_finishes_its_streams_and_closes_idle_sockets() -> None:
    with Server(GATE_SOURCE, "--drain-timeout", "60s") as server:
        url = socket_url(server)
        with (
            connect(url, open_timeout=CALL_SECONDS) as idle,
            connect(url, open_timeout=CALL_SECONDS) as busy,
        ):
            busy.send(json.dumps(body(count=200)))
            first = receive(busy)
            server.process.send_signal(signal.SIGTERM)
            assert first["index"] == 0
            assert until_end(busy)[-1]["next"] == 200
            with pytest.raises(ConnectionClosed):
                idle.recv(timeout=CALL_SECONDS)
        assert server.wait_exit() == 0


def test_a_stream_that_never_begins_is_given_up_with_its_viewer(
    gate_server: Any, stub: Any, gate: Any
) -> None:
    host, _, port = gate_server.http.removeprefix("http://").rpartition(":")
    with gate.held(stub):
        data = json.dumps(body(count=1)).encode()
        head = f"POST /v2/models/m/infer_stream HTTP/1.1\r\nHost: m\r\nContent-Length: {len(data)}\r\n\r\n"
        with socket.create_connection((host, int(port)), CALL_SECONDS) as raw:
            raw.sendall(head.encode() + data)
            gate_server.wait_in_flight(2)
        gate_server.wait_in_flight(1)
    assert np.asarray(stub.infer(stub.request())["y"]).tolist() == [[2.0]]
