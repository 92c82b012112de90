"""Models that are files, served by the real server: downloaded once for all processes, or refused in one line."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from atheria_contract.generated import inference_pb2 as pb
from tests.integration.server.harness import SERVED, Server

EXAMPLE = Path(__file__).parents[3] / "examples" / "torch-program" / "export.py"


class Files:
    """Serves one file with ranges; drops the first connection in the middle, and counts bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sent = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Tests read no log."""

            def do_GET(self) -> None:
                outer.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        text = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        first, _, last = text.partition("-")
        body = self.data[int(first) : int(last) + 1 if last else None]
        handler.send_response(206)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(self.data)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if len(body) == len(self.data) and not self.sent:
            body = body[: len(body) // 2]
            handler.close_connection = True
        if len(body) > 1:
            self.sent += len(body)
        handler.wfile.write(body)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the example exports."""
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    subprocess.run([sys.executable, str(EXAMPLE), str(path)], check=True, capture_output=True, timeout=120)
    return path


@pytest.fixture
def files(program: Path) -> Iterator[Files]:
    found = Files(program.read_bytes())
    yield found
    found.server.shutdown()
    found.server.server_close()
    found.thread.join(10)


def infer(server: Any, **inputs: Any) -> dict[str, Any]:
    message = pb.ModelInferRequest(model_name=server.name)
    for name, array in inputs.items():
        message.inputs.add(name=name, datatype="FP32", shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    with server.stub() as stub:
        found: dict[str, Any] = stub.infer(message)
    return found


def test_a_program_is_downloaded_once_and_served_by_all_processes(
    files: Files, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    url = f"http://127.0.0.1:{files.server.server_port}/models/model.pt2?signature=secret"
    digest = "sha256:" + hashlib.sha256(files.data).hexdigest()
    with Server(url, "--digest", digest, "--workers", "2") as server:
        assert files.sent == len(files.data)
        found = infer(server, picture=np.ones((3, 1, 10, 12), np.float32))
        log = "\n".join(server.lines)
    assert found["scores"].shape == (3, 10)
    assert np.array_equal(found["best"], found["scores"].argmax(1))
    assert "event=source_done" in log
    assert "secret" not in log
    mapped = sorted(path.name for path in tmp_path.rglob("*.pt2"))
    assert mapped == ["model.pt2"]


def test_a_module_of_ones_own_is_served_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SERVED))
    from small_network import SmallNetwork

    torch.manual_seed(0)
    network = SmallNetwork(3).eval()
    save_file(dict(network.state_dict()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"classes": 3}))
    (tmp_path / "atheria.json").write_text(
        json.dumps(
            {
                "inputs": [{"name": "picture", "datatype": "FP32", "shape": [-1, 1, "H", "W"]}],
                "outputs": [
                    {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
                    {"name": "best", "datatype": "INT64", "shape": [-1]},
                ],
                "sizes": {"H": {"min": 3, "default": 8}, "W": {"min": 3, "default": 8}},
            }
        )
    )
    picture = np.random.default_rng(0).random((2, 1, 5, 7), np.float32)
    with Server(f"file://{tmp_path}", "--set", "class=small_network:SmallNetwork") as server:
        found = infer(server, picture=picture)
        with pytest.raises(Exception, match="H from 3"):
            infer(server, picture=picture[:, :, :2])
    with torch.no_grad():
        wanted = network(torch.from_numpy(picture))
    assert np.allclose(found["scores"], wanted["scores"].numpy(), atol=1e-6)


def test_files_that_cannot_be_served_end_the_server_with_one_line(program: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.pt2").write_bytes(program.read_bytes()[:-200])
    torch.save({"a": torch.zeros(1)}, tmp_path / "old.pt")
    cases = [
        ([f"file://{tmp_path}/cut.pt2"], "truncated"),
        ([f"file://{tmp_path}/old.pt"], "is a pickle"),
        ([f"file://{program}", "--digest", "sha256:" + "0" * 64], "has digest sha256:"),
    ]
    servers = [Server(*arguments) for arguments, _ in cases]
    try:
        for server, (_, words) in zip(servers, cases, strict=True):
            assert server.wait_exit() == 1
            assert sum(line.startswith("atheria-server: error: ") for line in server.lines) == 1
            assert words in server.lines[-1]
    finally:
        for server in servers:
            server.kill()
