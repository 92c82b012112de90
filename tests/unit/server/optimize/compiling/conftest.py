"""Fixtures: a compiler without a code generator, facts, and folders of a cache."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from atheria_contract.optimization import CacheConfig, CompileConfig
from atheria_server.core.compile_key import CompileFacts
from atheria_server.optimize.compiling import BucketCompiler

FACTS = CompileFacts(
    model_digest="sha256:aa",
    code_digest="sha256:bb",
    torch="2.15.0",
    cuda="",
    driver="",
    architecture="x86_64 AVX2 0123",
    threads=1,
    mode="default",
    precision="fp32",
    row_buckets=(1, 2),
    shapes=((16, 8, 8),),
)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., BucketCompiler]:
    """Compilers whose functions are traced and guarded as always, but run by torch's own kernels: no C++ is made.

    When a function is compiled anew is decided before code is made, so nothing of it changes.
    """
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))

    def build(**options: Any) -> BucketCompiler:
        return BucketCompiler(CompileConfig(**({"mode": "default"} | options)), "cpu")

    return build


@pytest.fixture
def facts() -> CompileFacts:
    return FACTS


@pytest.fixture
def secret_config(tmp_path: Path) -> CacheConfig:
    """A shared folder, and a key."""
    key = tmp_path / "key"
    key.write_bytes(b"a secret of enough bytes\n")
    return CacheConfig(directory=str(tmp_path / "shared"), key_file=str(key), is_shared=True)
