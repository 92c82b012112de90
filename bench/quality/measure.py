"""One variant of the shipped law, made by the server's own code, beside its baseline."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from atheria_contract.optimization import PrecisionConfig
from atheria_server.core.precision import plan_precision
from atheria_server.core.quality import Measurement
from atheria_server.optimize import precision
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.quality import compare, golden_calls
from bench.quality.rows import FIRST, INT4_GROUP, OUT, Row

ROWS_MAX = 16


class Bench:
    """The baseline's golden outputs, against which rows are measured."""

    def __init__(self, *, seeds: int, weights: str, device: str) -> None:
        """`weights` is a safetensors file of law nca; empty = the one that ships."""
        self._parameters = {"weights": weights} if weights else {}
        self._device = device
        model = self._model()
        self._calls = golden_calls(model.api, [], seeds, ROWS_MAX)
        self._baseline = model.run(self._calls)

    def measure(self, row: Row) -> Sequence[Measurement]:
        """Every metric of a row's variant."""
        model = self._model()
        if row.config is None:
            _round_middle_to_int4(model)
        else:
            self._apply(model, row.config)
        return compare(model.api, self._baseline, model.run(self._calls))

    def _model(self) -> LoadedModel:
        return load_model("builtin://qca", self._parameters, device=self._device)

    def _apply(self, model: LoadedModel, config: PrecisionConfig) -> None:
        modules = precision.modules_of(model.api)
        plan = plan_precision(
            config,
            precision.layers_of(modules),
            precision.groups_of(model.api, modules),
            precision.probe(self._device),
        )
        precision.apply_precision(modules, plan, device=self._device, observe=lambda: model.run(self._calls))


def _round_middle_to_int4(model: LoadedModel) -> None:
    for name, layer in model.api.law.named_modules():
        if isinstance(layer, nn.Linear) and f"law.{name}" not in (FIRST, OUT):
            with torch.no_grad():
                layer.weight.copy_(rounded_to_int4(layer.weight))


def rounded_to_int4(weight: torch.Tensor) -> torch.Tensor:
    """[out, in], in a multiple of the group: whole numbers from -8 to 7 of one scale a group, the largest entry at 7."""
    grouped = weight.view(weight.shape[0], -1, INT4_GROUP)
    scale = grouped.abs().amax(2, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / 7
    return ((grouped / scale).round().clamp(-8, 7) * scale).view_as(weight)
