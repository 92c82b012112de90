"""A described model whose worker may only have so much address space, and which takes as much as a call asks for.

The parameter `take_bytes` of a call is allocated and written by Python, which notices when there is no more; with
`unchecked` by the C library, which does not, and the process dies as one that the kernel kills for memory does.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import litserve
import numpy as np

from atheria_server.models.contract import Batch, Frame, ModelMetadata, TensorSpec, ValidCall, WarmupCall

SPARE_BYTES = 256 * 1024 * 1024


class GreedyApi(litserve.LitAPI):
    """`x` FP32 [B, N] in; `y` = 2x and `pid` INT64 [B] out. `gate` is as in gate_model."""

    def setup(self, device: str) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))

    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, -1)),),
            outputs=(
                TensorSpec(name="y", datatype="FP32", shape=(-1, -1)),
                TensorSpec(name="pid", datatype="INT64", shape=(-1,)),
            ),
        )

    def validate(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, streaming: bool
    ) -> ValidCall:
        return ValidCall(inputs=inputs, parameters=parameters, rows=len(inputs["x"]))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"x": np.zeros((rows, 1), np.float32)})]

    def predict(self, batch: Batch) -> dict[str, Any]:
        wanted = int(batch.parameters.get("take_bytes", 0))
        if wanted and batch.parameters.get("unchecked"):
            library = ctypes.CDLL(None)
            library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
            ctypes.memset(library.malloc(wanted), 1, wanted)
        elif wanted:
            np.ones(wanted, np.uint8)
        if gate := batch.parameters.get("gate"):
            Path(str(gate)).read_bytes()
        return {"y": 2 * batch.inputs["x"], "pid": np.full(batch.rows, os.getpid(), np.int64)}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        yield Frame(outputs=self.predict(batch))
