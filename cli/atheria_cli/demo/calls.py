"""The calls of the demo: the built-in QCA's inputs, outputs and frames by name, over the client that every command uses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atheria_cli.calls.client import ModelClient
from atheria_cli.calls.gateway import Connection
from atheria_cli.calls.inputs import Array
from atheria_contract import names

FloatArray = npt.NDArray[np.float32]
OUTPUTS = ("state", "density", "phase", "metrics")
METRICS = ("entropy", "C4", "contrast", "coherence", "norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved:
    """One answer: arrays by output name, and how long the caller waited."""

    outputs: Mapping[str, FloatArray]
    seconds: float


class QcaClient:
    """Calls of one QCA at `target` (host:port) of a gateway. Each raises CallError."""

    def __init__(self, target: str, model: str, namespace: str) -> None:
        headers = {names.HEADER_MODEL: names.model_key(namespace, model)}
        self._client = ModelClient(Connection(address=target, model=model, headers=headers, tls={}))

    def close(self) -> None:
        """Free the channel."""
        self._client.close()

    def evolve_seed(self, seed: int, size: int, steps: int, timeout_seconds: float = 120) -> Evolved:
        """A state made from `seed` on a `size`×`size` torus, evolved by `steps`."""
        parameters = {"height": size, "width": size, "steps": steps}
        return self._infer(_seed(seed), parameters, OUTPUTS, timeout_seconds)

    def evolve_state(self, state: FloatArray, steps: int, timeout_seconds: float = 120) -> Evolved:
        """`state` [B, 2d, H, W], evolved by `steps`."""
        return self._infer({"state": state}, {"steps": steps}, OUTPUTS, timeout_seconds)

    def burst(self, state: FloatArray, calls: int, steps: int, timeout_seconds: float = 120) -> list[Evolved]:
        """`calls` calls of `state` sent at once; all answers with their metrics alone. `seconds` count from the first call."""
        began = time.monotonic()

        def one(_: int) -> Evolved:
            answer = self._infer({"state": state}, {"steps": steps}, ("metrics",), timeout_seconds)
            return Evolved(outputs=answer.outputs, seconds=time.monotonic() - began)

        with ThreadPoolExecutor(max_workers=calls) as callers:
            return list(callers.map(one, range(calls)))

    def stream(
        self, seed: int, size: int, steps: int, every: int, timeout_seconds: float = 60
    ) -> Iterator[tuple[int, FloatArray]]:
        """Frames (step, density [H, W]) as they are computed, over ModelStreamInfer."""
        parameters = {"height": size, "width": size, "steps": steps, "every": every}
        for answer in self._client.stream(_seed(seed), parameters, ("density",), (), timeout_seconds):
            yield answer.parameters["step"], answer.outputs["density"][0]

    def _infer(
        self,
        arrays: Mapping[str, Array],
        parameters: Mapping[str, int],
        outputs: tuple[str, ...],
        timeout_seconds: float,
    ) -> Evolved:
        began = time.monotonic()
        answer = self._client.infer(arrays, parameters, outputs, (), timeout_seconds)
        return Evolved(outputs=answer.outputs, seconds=time.monotonic() - began)


def _seed(seed: int) -> dict[str, Array]:
    return {"seed": np.array([seed], np.int64)}
