"""A server with a file of keys: who shows one may call, whichever protocol; the file may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.utils import InferenceServerException
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.integration.server.harness import Server, eventually, tensor

SECONDS = 60
ENV = "ATHERIA_API_KEYS_FILE"


def write(path: Path, *keys: str) -> None:
    path.write_text(
        "".join(f"sha256:{hashlib.sha256(key.encode()).hexdigest()} {n}\n" for n, key in enumerate(keys))
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    write(path, "one", "two")
    return path


@pytest.fixture(scope="module")
def locked(keys: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENV, str(keys))
        server = Server("builtin://echo")
    with server:
        yield server


def status(server: Any, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return requests.get(f"{server.http}/v2/models/m", headers=headers, timeout=SECONDS).status_code


@pytest.mark.parametrize("key", ["one", "two"])
def test_every_key_of_the_file_opens_both_protocols(locked: Any, key: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    with triton.InferenceServerClient(locked.grpc) as client:
        answer = client.infer("m", [tensor("x", np.ones((1, 1), np.float32))], headers=headers)
        assert answer.as_numpy("y").tolist() == [[1.0]]
        assert client.get_model_config("m", headers=headers).config.name == "m"
    assert status(locked, key) == 200
    url = locked.http.replace("http", "ws", 1) + "/v2/models/m/stream"
    with connect(url, additional_headers=headers, open_timeout=SECONDS) as ws:
        x = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}
        ws.send(json.dumps({"inputs": [x]}))
        assert json.loads(ws.recv(timeout=SECONDS))["index"] == 0


@pytest.mark.parametrize("key", ["", "three"])
def test_without_a_known_key_every_call_is_refused_with_what_to_send(locked: Any, key: str) -> None:
    before = locked.metric("atheria_rejected_requests_total")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    x = tensor("x", np.ones((1, 1), np.float32))
    with triton.InferenceServerClient(locked.grpc) as client:
        for ask in (
            lambda: client.infer("m", [x], headers=headers),
            lambda: client.get_model_metadata("m", headers=headers),
            lambda: client.get_model_config("m", headers=headers),
        ):
            with pytest.raises(InferenceServerException, match="authorization: Bearer KEY") as refused:
                ask()
            assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
    ask_what = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    with locked.stub() as stub:
        shown = reflection_pb2_grpc.ServerReflectionStub(stub.channel).ServerReflectionInfo(
            ask_what, timeout=SECONDS, metadata=tuple(headers.items())
        )
        with pytest.raises(grpc.RpcError) as unseen:
            next(shown)
    assert unseen.value.code() == grpc.StatusCode.UNAUTHENTICATED
    answer = requests.post(f"{locked.http}/v2/models/m/infer", json={}, headers=headers, timeout=SECONDS)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    with pytest.raises(InvalidStatus) as closed:
        connect(
            locked.http.replace("http", "ws", 1) + "/v2/models/m/stream",
            additional_headers=headers,
            open_timeout=SECONDS,
        ).__enter__()
    assert closed.value.response.status_code == 401
    assert locked.metric("atheria_rejected_requests_total") == before + 6


def test_health_and_metrics_need_no_key(locked: Any) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready", "/health", "/metrics"):
        assert requests.get(locked.http + path, timeout=SECONDS).status_code == 200, path
    with triton.InferenceServerClient(locked.grpc) as client, locked.stub() as stub:
        assert client.is_server_ready()
        assert client.is_model_ready("m")
        health = health_pb2_grpc.HealthStub(stub.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=""), timeout=SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_changed_file_counts_without_a_restart_and_a_broken_one_does_not(locked: Any, keys: Path) -> None:
    assert status(locked, "three") == 401
    write(keys, "two", "three")
    eventually("the new key", lambda: status(locked, "three") == 200)
    assert status(locked, "one") == 401
    keys.write_text("not a key\n")
    eventually(
        "the complaint in the log",
        lambda: status(locked, "three") and any("api_keys_unusable" in line for line in locked.lines),
    )
    assert status(locked, "three") == 200
    write(keys, "one", "two")
    eventually("the old keys", lambda: status(locked, "one") == 200)


def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path / "bad", "line 1 is not sha256:")):
        if path.name == "bad":
            path.write_text("secret\n")
        monkeypatch.setenv(ENV, str(path))
        server = Server("builtin://echo")
        try:
            assert server.wait_exit() == 1
            assert words in server.lines[-1]
            assert "secret" not in server.lines[-1]
        finally:
            server.kill()
