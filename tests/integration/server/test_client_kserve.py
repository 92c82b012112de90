"""KServe's own clients, gRPC and REST, from their own environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.server.client_environments import INSTALL_SECONDS, python_of

CALLS = Path(__file__).with_name("clients") / "kserve_calls.py"
DATATYPES = ("BOOL", "UINT8", "UINT64", "INT8", "INT64", "FP16", "FP32", "FP64", "BYTES")
JSON_ALONE = ("FP32", "INT64", "BYTES")
CALL_SECONDS = 90

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + CALL_SECONDS)


@pytest.fixture(scope="module")
def python() -> Path:
    return python_of("clients-kserve.txt")


def run(python: Path, kind: str, address: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [python, CALLS, kind, address],
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
        check=False,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def answered(datatypes: tuple[str, ...]) -> dict[str, list[Any]]:
    return {datatype: [f"id-{datatype}", True] for datatype in datatypes}


def test_the_grpc_client_gets_its_tensors_back_raw_and_as_contents(python: Path, mirror_server: Any) -> None:
    found = run(python, "grpc", mirror_server.grpc)
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["raw"] == answered(DATATYPES)
    assert found["contents"] == answered(JSON_ALONE)
    assert "NOT_FOUND" in found["unknown"]
    assert "serves 'm'" in found["unknown"]
    assert "no version '2'" in found["version"]


def test_the_rest_client_gets_its_tensors_back_binary_and_as_json(python: Path, mirror_server: Any) -> None:
    found = run(python, "rest", mirror_server.http)
    assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert found["unknown_ready"] is False
    assert found["raw"] == answered(DATATYPES)
    assert found["one_raw"] == ["id-INT64", True]
    assert found["json"] == answered(JSON_ALONE)
    assert "404" in found["unknown"]
    assert "serves 'm'" in found["unknown"]
