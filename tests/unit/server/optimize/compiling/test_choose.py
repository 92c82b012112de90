"""`auto` measures once, keeps what it found beside the compiled code, and says why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from atheria_contract.optimization import CompileConfig
from atheria_server.core.mode_choice import ModeChoice
from atheria_server.models.contract import WarmupCall
from atheria_server.models.optimizable import Compile
from atheria_server.optimize.compiling import choose_mode, toolchain
from atheria_server.optimize.loaded import LoadedModel

BUCKETS = (1, 4)


class Model:
    """Takes `seconds` per batch by mode: a clock of its own, moved by each computation."""

    def __init__(self, seconds: Mapping[str, Mapping[int, float]], device: str = "cpu") -> None:
        self.now = 0.0
        self.device = device
        self.api = self
        self.mode = "off"
        self.attached: list[str] = []
        self._seconds = seconds

    def warmup_calls(self, _shapes: Any, rows: int) -> list[WarmupCall]:
        return [WarmupCall(inputs={}, parameters={"rows": rows})]

    def compute(self, call: WarmupCall) -> None:
        self.now += self._seconds[self.mode][cast("int", call.parameters["rows"])]

    def attach(self, compiler: Compile) -> None:
        def double(x: Tensor) -> Tensor:
            return x * 2

        assert compiler(double, name="double") is not double
        self.mode = compiler._config.mode  # type: ignore[attr-defined]
        self.attached.append(self.mode)

    def choose(self, directory: Path) -> ModeChoice:
        return choose_mode(
            cast("LoadedModel", self),
            CompileConfig(mode="auto"),
            attach=self.attach,
            shapes=[(3,)],
            row_buckets=BUCKETS,
            directory=directory,
            clock=lambda: self.now,
        )


EAGER = {1: 4.0, 4: 8.0}


def test_what_is_measured_to_be_faster_per_row_is_taken(tmp_path: Path) -> None:
    choice = Model({"off": EAGER, "default": {1: 2.0, 4: 4.0}}).choose(tmp_path)
    assert (choice.mode, choice.row_limit) == ("default", 4)
    assert "eager 2e+03 ms a row at 4 rows, default 1e+03 ms" in choice.why


def test_a_model_that_compiling_does_not_help_stays_as_it_is(tmp_path: Path) -> None:
    assert Model({"off": EAGER, "default": EAGER}).choose(tmp_path).mode == "off"


def test_a_later_start_measures_nothing(tmp_path: Path) -> None:
    first = Model({"off": EAGER, "default": {1: 2.0, 4: 4.0}})
    second = Model({})
    assert first.choose(tmp_path) == second.choose(tmp_path)
    assert (first.attached, second.attached) == (["default"], [])


def test_an_image_without_a_compiler_stays_eager_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "cpp_compiler", lambda: None)
    choice = Model({"off": EAGER}).choose(tmp_path)
    assert choice.mode == "off"
    assert "package g++" in choice.why


def test_on_a_gpu_cuda_graphs_are_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda _name: object())
    times = {"off": EAGER, "default": {1: 2.0, 4: 4.0}, "reduce-overhead": {1: 1.0, 4: 3.0}}
    model = Model(times, device="cuda")
    assert model.choose(tmp_path).mode == "reduce-overhead"
    assert model.attached == ["default", "reduce-overhead"]
    assert not torch.cuda.is_initialized()
