"""A server that cannot serve says why in one line, with an exit code that is not 0."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.integration.server.harness import GATE_SOURCE, Server

NO_DIGEST = "sha256:" + "0" * 64
CASES: list[tuple[str, list[str], tuple[str, ...]]] = [
    ("an unknown model", ["builtin://nothing"], ("builtin://nothing", "builtin://qca")),
    ("an unknown scheme", ["ftp://x"], ("ftp://x", "python://package.module:LitAPIClass")),
    ("no such module", ["python://no_such_module:Api"], ("no_such_module",)),
    ("no such class", ["python://gate_model:Nothing"], ("Nothing", "litserve.LitAPI")),
    ("an unknown parameter", ["builtin://qca", "--set", "colour=red"], ("colour", "law", "kappa")),
    ("a wrong parameter", ["builtin://qca", "--set", "law=round"], ("law", "round", "kerr", "nca")),
    (
        "weights of another digest",
        ["builtin://qca", "--digest", NO_DIGEST],
        ("error: DigestMismatch: ", "digest", NO_DIGEST),
    ),
    (
        "a digest of nothing",
        ["builtin://qca", "--set", "law=kerr", "--digest", NO_DIGEST],
        ("kerr has no weights",),
    ),
    (
        "no such weights",
        ["builtin://qca", "--set", "weights=/nowhere.safetensors"],
        ("error: WeightsInvalid: ", "/nowhere.safetensors"),
    ),
    (
        "a shape that the model cannot warm up",
        [GATE_SOURCE, "--warmup-shape", "1,2"],
        ("warm-up", "[1, 2]", "[N]"),
    ),
    ("a setup that raises", [GATE_SOURCE, "--set", "fail_setup=no disk"], ("RuntimeError: no disk",)),
    (
        "a cache of requests that depend on more than themselves",
        ["python://user_apis:ContextCachingLitAPI"],
        ("ContextCachingLitAPI has decode_cache_entries", "`context`"),
    ),
    ("a setup that dies", [GATE_SOURCE, "--set", "die_in_setup=1"], ("died 4 times", "SIGKILL")),
]


@pytest.mark.parametrize(("arguments", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_model_that_cannot_be_loaded_ends_the_server_with_one_clear_line(
    arguments: list[str], words: tuple[str, ...]
) -> None:
    server = Server(*arguments)
    try:
        code = server.wait_exit()
    finally:
        server.kill()
    assert code == 1
    assert sum(line.startswith("atheria-server: error: ") for line in server.lines) == 1
    last = server.lines[-1]
    assert last.startswith("atheria-server: error: ")
    for word in words:
        assert word in last


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option, protocol in (("--http-port", "HTTP"), ("--grpc-port", "gRPC")):
            server = Server(GATE_SOURCE, option, port)
            try:
                assert server.wait_exit() == 1
            finally:
                server.kill()
            assert f"{protocol} cannot listen on 127.0.0.1:{port}" in server.lines[-1]


def test_a_server_started_from_a_configuration_file_serves(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    config = {"name": "m", "source": GATE_SOURCE, "warmup_shapes": [[3], [5]], "max_batch_size": 4}
    file.write_text(json.dumps(config))
    server = Server.from_arguments("--config", str(file))
    with server, server.stub() as stub:
        assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
        warmed = [line for line in server.lines if "event=warmup_shape" in line]
        assert [line.split("event=")[1].split(" seconds")[0] for line in warmed] == [
            f"warmup_shape shape=[{n}] rows={rows}" for rows in (1, 4) for n in (3, 5)
        ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ("model.json", "not JSON")),
        ('{"name": "m"}', ("model.json", "'source'")),
        ('{"name": "m", "source": "builtin://qca", "colour": 1}', ("colour", "allowed")),
        ('{"name": "m", "source": "builtin://qca", "max_batch_size": 0}', ("max_batch_size", "1")),
    ],
)
def test_a_wrong_configuration_is_one_line_that_names_the_key(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    file = tmp_path / "model.json"
    file.write_text(text)
    server = Server.from_arguments("--config", str(file))
    try:
        assert server.wait_exit() == 2
    finally:
        server.kill()
    for word in words:
        assert word in server.lines[-1]
