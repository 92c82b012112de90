"""The runtime `text` through its transports, with clients as they are: sceneline, whose words are few and whose texts can be long."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from websockets.sync.client import connect

from atheria_server.models.text.sceneline.density import picture_of_density
from tests.integration.server.harness import CALL_SECONDS, Server, eventually

LONG = 400
"""Tokens that take long enough to be interrupted."""


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with Server("builtin://sceneline", "--set", "places=24") as found:
        yield found


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3), np.uint8)


def document(seed: int = 0, **parameters: Any) -> dict[str, Any]:
    image = {"name": "image", "datatype": "UINT8", "shape": [1, 64, 64, 3]}
    options = {"max_new_tokens": 12, "ignore_end": True, "temperature": 1.0, "seed": seed, **parameters}
    return {"inputs": [{**image, "data": picture(seed).ravel().tolist()}], "parameters": options}


def url(server: Any, what: str) -> str:
    return f"{server.http}/v2/models/{server.name}/{what}"


def whole(server: Any, **options: Any) -> dict[str, Any]:
    # Nothing comes before the last word.
    answer = requests.post(url(server, "infer"), json=document(**options), timeout=4 * CALL_SECONDS)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return {one["name"]: one["data"] for one in found["outputs"]} | {"parameters": found["parameters"]}


def joined(frames: list[dict[str, Any]]) -> tuple[str, list[int]]:
    outputs = [{one["name"]: one["data"] for one in frame["outputs"]} for frame in frames]
    text = "".join(one["text_output"][0] for one in outputs)
    return text, [token for one in outputs for token in one["tokens"]]


def test_a_call_has_one_answer_with_the_text_the_tokens_and_what_it_took(server: Any) -> None:
    answer = whole(server, logprobs=True)
    assert len(answer["tokens"]) == len(answer["logprobs"]) == 12
    assert answer["parameters"]["finish_reason"] == "length"
    assert answer["parameters"]["prompt_tokens"] == 65
    assert answer["parameters"]["generated_tokens"] == 12
    assert json.loads(answer["grounding"][0]) is not None


def test_events_sockets_and_grpc_stream_the_same_text(server: Any) -> None:
    expected = whole(server)
    with requests.post(
        url(server, "infer_stream"), json=document(), stream=True, timeout=CALL_SECONDS
    ) as answer:
        lines = [line[6:] for line in answer.iter_lines(decode_unicode=True) if line.startswith("data: ")]
    frames = [json.loads(line) for line in lines]
    assert frames.pop()["final"] is True
    assert len(frames) > 3
    assert joined(frames) == (expected["text_output"][0], expected["tokens"])
    assert frames[-1]["parameters"]["finish_reason"] == "length"
    with connect(url(server, "stream").replace("http", "ws", 1), open_timeout=CALL_SECONDS) as socket:
        socket.send(json.dumps(document()))
        told = [json.loads(socket.recv(timeout=CALL_SECONDS))]
        while "index" in told[-1]:
            told.append(json.loads(socket.recv(timeout=CALL_SECONDS)))
    assert joined(told[:-1]) == joined(frames)
    tokens = [token for result in streamed(server) for token in result.as_numpy("tokens")[0].tolist()]
    assert tokens == expected["tokens"]


def streamed(server: Any, **options: Any) -> list[Any]:
    results: queue.Queue[Any] = queue.Queue()
    image = triton.InferInput("image", [1, 64, 64, 3], "UINT8")
    image.set_data_from_numpy(picture(0))
    with triton.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: results.put((result, error)))
        client.async_stream_infer(
            server.name,
            [image],
            parameters=document(**options)["parameters"],
            enable_empty_final_response=True,
        )
        found = []
        while True:
            result, error = results.get(timeout=CALL_SECONDS)
            assert error is None, error
            if result.get_response().parameters["triton_final_response"].bool_param:
                return found
            found.append(result)


def test_callers_share_steps(server: Any) -> None:
    alone = [whole(server, seed=seed, max_new_tokens=40)["tokens"] for seed in range(3)]
    eventually("the worker's report", lambda: server.metric("atheria_active_sequences") == 0)
    steps = server.metric("atheria_text_steps_total")
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda seed: whole(server, seed=seed, max_new_tokens=40), range(16))
        assert [answer["tokens"] for answer in answers][:3] == alone
    eventually("the last report", lambda: server.metric("atheria_active_sequences") == 0)
    # One after the other they take 16 x 40 steps; how many share one depends on when they come.
    assert server.metric("atheria_text_steps_total") - steps < 16 * 40 / 2


def test_a_picture_that_was_seen_is_not_read_again(server: Any) -> None:
    first, again = whole(server, seed=77), whole(server, seed=77)
    assert first["parameters"]["reused_tokens"] == 0
    assert again["parameters"]["reused_tokens"] == 64
    assert again["tokens"] == first["tokens"]
    assert again["grounding"] == first["grounding"]


def test_whoever_leaves_frees_the_cache_and_ends_the_text(server: Any) -> None:
    def idle() -> bool:
        return server.metric("atheria_active_sequences") == server.metric("atheria_requests_in_flight") == 0

    def cancelled_of_eight() -> float:
        eventually("an idle server", idle, CALL_SECONDS)
        before = server.metric("atheria_cancelled_requests_total")
        answers = [
            requests.post(
                url(server, "infer_stream"),
                json=document(seed=seed, max_new_tokens=LONG),
                stream=True,
                timeout=CALL_SECONDS,
            )
            for seed in range(8)
        ]
        for answer in answers:
            next(answer.iter_lines())
            answer.close()
        eventually("that all texts have ended", idle, CALL_SECONDS)
        return float(server.metric("atheria_cancelled_requests_total") - before)

    eventually("an idle server", idle, CALL_SECONDS)
    generated = server.metric("atheria_generated_tokens_total")
    # On a busy machine a text may have ended before its caller left; not always.
    found = []
    while 8 not in found and len(found) < 5:
        found.append(cancelled_of_eight())
    assert found[-1] == 8
    assert server.metric("atheria_generated_tokens_total") - generated < len(found) * 8 * LONG


def test_a_deadline_ends_a_text(server: Any) -> None:
    request = document(max_new_tokens=LONG, timeout=50_000)
    answer = requests.post(url(server, "infer"), json=request, timeout=CALL_SECONDS)
    assert (answer.status_code, answer.json()["error"]) == (504, "the deadline passed before the answer")
    eventually("an empty batch", lambda: server.metric("atheria_active_sequences") == 0, CALL_SECONDS)


def test_a_reader_that_begins_late_gets_every_word(server: Any) -> None:
    late = requests.post(
        url(server, "infer_stream"),
        json=document(seed=5, max_new_tokens=LONG // 2, draw=True),
        stream=True,
        timeout=CALL_SECONDS,
    )
    expected = whole(server, seed=5, max_new_tokens=LONG // 2)["tokens"]
    lines = [line[6:] for line in late.iter_lines(decode_unicode=True) if line.startswith("data: ")]
    frames = [json.loads(line) for line in lines]
    assert frames[-1]["dropped"] == 0
    assert joined(frames[:-1])[1] == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "parameter temperature is -1; expected a number from 0 to 100"),
        ({"top_p": 0}, "parameter top_p is 0"),
        ({"max_new_tokens": 500}, "together at most 512 are allowed"),
        ({"stop": ""}, "parameter stop is ''"),
        ({"draw": 3}, "parameter draw is 3; expected true or false"),
        ({"speculation": "magic"}, "allowed: off, ngram, draft"),
        ({"beam": 3}, "unknown parameter 'beam'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(server: Any, options: dict[str, Any], words: str) -> None:
    answer = requests.post(url(server, "infer"), json=document(**options), timeout=CALL_SECONDS)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_density_of_qca_is_read_as_its_picture(server: Any) -> None:
    rows, columns = np.mgrid[0:64, 0:96] / 16
    density = (1 + np.sin(rows) * np.cos(columns)).astype(np.float32)
    as_density = {
        "name": "density",
        "datatype": "FP32",
        "shape": [1, 64, 96],
        "data": density.ravel().tolist(),
    }
    grey = picture_of_density(density[None])
    as_picture = {
        "name": "image",
        "datatype": "UINT8",
        "shape": list(grey.shape),
        "data": grey.ravel().tolist(),
    }
    answers = []
    for given in (as_density, as_picture):
        body = {"inputs": [given], "parameters": {"max_new_tokens": 6, "ignore_end": True}}
        answer = requests.post(url(server, "infer"), json=body, timeout=CALL_SECONDS)
        assert answer.status_code == 200, answer.text
        answers.append({one["name"]: one["data"] for one in answer.json()["outputs"]})
    assert answers[0] == answers[1]
    refused = requests.post(
        url(server, "infer"), json={"inputs": [as_density, as_picture]}, timeout=CALL_SECONDS
    )
    assert "expected exactly one of image or density" in refused.json()["error"]


def test_the_metadata_names_inputs_and_outputs(server: Any) -> None:
    found = requests.get(f"{server.http}/v2/models/{server.name}", timeout=CALL_SECONDS).json()
    assert [one["name"] for one in found["inputs"]] == ["text_input", "tokens", "image", "density"]
    assert [one["name"] for one in found["outputs"]][:3] == ["text_output", "tokens", "logprobs"]
