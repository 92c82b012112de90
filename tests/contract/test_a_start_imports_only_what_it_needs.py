"""What a start imports, somebody waits for: libraries that it has no use for stay out of it.

Each part is imported in a process of its own, as a start does. docs/benchmarks/cold-start.md has what the rest costs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

NEVER = (
    "transformers",
    "bitsandbytes",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "PIL",
    "boto3",
    "botocore",
    "huggingface_hub",
    "datasets",
    "kubernetes",
    "kopf",
    "tritonclient",
    "pytest",
)
"""No start of the built-in models needs them."""


def imported(program: str, wanted: Iterable[str]) -> list[str]:
    """Which of the modules are there after `program`."""
    code = f"{program}\nimport sys\nprint(*[name for name in {list(wanted)!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.split()


def test_the_number_of_numerical_threads_is_set_before_a_numerical_library_is_imported() -> None:
    before = "import atheria_server.__main__, atheria_server.engine.start"
    assert imported(before, ("numpy", "asyncio", "litserve", "fastapi", "pydantic", "grpc", "torch")) == []


def test_workers_are_forked_after_what_both_sides_need_and_before_what_starts_threads() -> None:
    before_the_fork = "import atheria_server.engine.fork, atheria_server.engine.process"
    assert imported(before_the_fork, ("numpy", "litserve")) == ["numpy", "litserve"]
    assert imported(before_the_fork, ("grpc", "torch", "uvloop", "opentelemetry.sdk", *NEVER)) == []
    threads = (
        f"{before_the_fork}\nimport threading\nassert threading.active_count() == 1, threading.enumerate()"
    )
    assert imported(threads, ()) == []


def test_the_front_imports_neither_torch_nor_what_only_some_models_need() -> None:
    front = "import atheria_server.engine.process, atheria_server.app, atheria_server.models.qca.api"
    assert imported(front, ("torch", "safetensors", "zmq.green", *NEVER)) == []


def test_the_worker_of_a_plain_model_imports_neither_the_compiler_nor_the_fronts_libraries() -> None:
    worker = """
import atheria_server.engine.worker_main, atheria_server.engine.worker
from atheria_contract.serving import ServingConfig
from atheria_server.engine.setup import build, set_up
config = ServingConfig(source="builtin://qca", name="qca")
set_up(build(config), config, "cpu", lambda phase: None)
"""
    compiler = ("torch._inductor", "torch._dynamo.eval_frame", "torch.onnx._internal.exporter", "triton")
    front = ("grpc", "grpc_reflection", "opentelemetry.sdk", "prometheus_client.exposition")
    assert imported(worker, (*compiler, *front, *NEVER)) == []
    assert imported(worker, ("torch",)) == ["torch"]
