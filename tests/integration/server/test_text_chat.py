"""Messages of a conversation, over every way to a model of the transformers library: what its own template makes of them."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from websockets.sync.client import connect

from tests.integration.server.harness import CALL_SECONDS, Server
from tests.unit.server.models.text.test_chat import CHATML, CONVERSATIONS, a_folder, the_librarys

pytestmark = [
    # transformers imports every quantisation library that is installed, with what their sources warn of.
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
MESSAGES = CONVERSATIONS[1]
OPTIONS = {"max_new_tokens": 8, "ignore_end": True}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, list[int]]]:
    folder = a_folder(tmp_path_factory.mktemp("chat"), CHATML)
    prompt = the_librarys(folder, MESSAGES)
    with Server(f"file://{folder}", "--set", "runtime=text", "--set", "threads=1") as server:
        yield server, prompt


def url(server: Any, what: str) -> str:
    return f"{server.http}/v2/models/{server.name}/{what}"


def document(messages: Any = MESSAGES, **parameters: Any) -> dict[str, Any]:
    given = {"name": "messages", "datatype": "BYTES", "shape": [1], "data": [json.dumps(messages)]}
    return {"inputs": [given], "parameters": {**OPTIONS, **parameters}}


def tokens_of(answers: list[dict[str, Any]]) -> list[int]:
    outputs = [{one["name"]: one["data"] for one in answer["outputs"]} for answer in answers]
    return [token for one in outputs for token in one["tokens"]]


def test_messages_are_answered_as_the_librarys_own_prompt_over_every_way(
    served: tuple[Any, list[int]],
) -> None:
    server, prompt = served
    given = {"name": "tokens", "datatype": "INT64", "shape": [1, len(prompt)], "data": prompt}
    body = {"inputs": [given], "parameters": OPTIONS}
    answer = requests.post(url(server, "infer"), json=body, timeout=CALL_SECONDS).json()
    expected = tokens_of([answer])
    assert len(expected) == 8

    answer = requests.post(url(server, "infer"), json=document(), timeout=CALL_SECONDS).json()
    assert tokens_of([answer]) == expected
    assert answer["parameters"]["prompt_tokens"] == len(prompt)

    lines = requests.post(
        url(server, "infer_stream"), json=document(), timeout=CALL_SECONDS
    ).text.splitlines()
    frames = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert tokens_of(frames[:-1]) == expected

    with connect(url(server, "stream").replace("http", "ws", 1), open_timeout=CALL_SECONDS) as socket:
        socket.send(json.dumps(document()))
        told = [json.loads(socket.recv(timeout=CALL_SECONDS))]
        while "index" in told[-1]:
            told.append(json.loads(socket.recv(timeout=CALL_SECONDS)))
    assert tokens_of(told[:-1]) == expected

    messages = triton.InferInput("messages", [1], "BYTES")
    messages.set_data_from_numpy(np.array([json.dumps(MESSAGES).encode()], object))
    results: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(server.grpc) as client:
        whole = client.infer(server.name, [messages], parameters=OPTIONS)
        assert whole.as_numpy("tokens")[0].tolist() == expected
        client.start_stream(lambda result, error: results.put((result, error)))
        client.async_stream_infer(
            server.name, [messages], parameters=OPTIONS, enable_empty_final_response=True
        )
        streamed: list[int] = []
        while True:
            result, error = results.get(timeout=CALL_SECONDS)
            assert error is None, error
            if result.get_response().parameters["triton_final_response"].bool_param:
                break
            streamed += result.as_numpy("tokens")[0].tolist()
    assert streamed == expected


def test_messages_that_cannot_be_are_refused_by_name(served: tuple[Any, list[int]]) -> None:
    server, _ = served
    for body, words in (
        (document("no list"), "expected a JSON list of one or more messages"),
        (document(chat_template_kwargs="?"), "parameter chat_template_kwargs is '?'"),
        (document(chat_template_kwargs=3), "parameter chat_template_kwargs is 3; expected a text"),
    ):
        answer = requests.post(url(server, "infer"), json=body, timeout=CALL_SECONDS)
        assert answer.status_code == 400
        assert words in answer.json()["error"]
