"""Carries out a precision plan on a model, in place, and says what each layer takes before and after, counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

import torch
from torch import nn

from atheria_server.core.precision import TRANSPOSED, PlannedLayer, PrecisionError, PrecisionPlan
from atheria_server.optimize.precision.counted import weight_bytes
from atheria_server.optimize.precision.nf4 import Nf4Linear, load_bitsandbytes
from atheria_server.optimize.precision.observers import ActivationRange, observed, steps
from atheria_server.optimize.precision.stored import Int8Linear, Narrow, StoredWeights, rounded_weights

TYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One layer, after."""

    name: str
    kind: str
    group: str
    precision: str
    reason: str
    """Why it stayed as it was, if the policy would have changed it."""
    bytes_before: int
    bytes_after: int
    activation_limit: float | None = None
    """Largest activation that int8 holds there, if activations are rounded by a range known beforehand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionReport:
    """What a plan has done. Bytes are counted."""

    policy: str
    layers: tuple[LayerReport, ...]
    weight_bytes_before: int
    """Of the whole model, each storage once."""
    weight_bytes_after: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return asdict(self)


def apply_precision(
    modules: Mapping[str, nn.Module],
    plan: PrecisionPlan,
    *,
    device: str,
    observe: Callable[[], object],
    compress_statistics: bool = False,
) -> PrecisionReport:
    """Replace the planned layers by ones that keep their weights in less; nothing else of the model changes.

    `observe` runs the model on its golden states; it is called once, and only where the plan calibrates.
    `compress_statistics`: nf4 keeps the scales of its blocks in 8 bits, too. The model is on `device` already.
    Raises PrecisionError, after which the model may be changed in part: load it anew.
    """
    before = {one.name: one.layer.weight_bytes for one in plan.layers}
    total_before = weight_bytes(modules)
    ranges = _observe(modules, plan, observe) if plan.needs_observation else {}
    limits: dict[str, float] = {}
    for planned in plan.layers:
        if planned.precision == "fp32":
            continue
        layer = _layer(modules, planned.name)
        if layer.weight.device.type != torch.device(device).type:
            raise PrecisionError(
                f"{planned.name} is on {layer.weight.device} and not on {device}; move the model in setup"
            )
        made = _made(layer, planned, plan, ranges.get(planned.name), compress_statistics=compress_statistics)
        if isinstance(made, Int8Linear) and made.steps is not None:
            limits[planned.name] = float(made.steps.max()) * 127
        _replace(modules, layer, made.train(layer.training).requires_grad_(requires_grad=False))
    if plan.changes and any(isinstance(one, nn.TransformerEncoderLayer) for one in _all(modules)):
        torch.backends.mha.set_fastpath_enabled(False)  # it reads the layers' weights instead of calling them
    return PrecisionReport(
        policy=plan.policy,
        layers=tuple(
            LayerReport(
                name=one.name,
                kind=one.layer.kind,
                group=one.group,
                precision=one.precision,
                reason=one.reason,
                bytes_before=before[one.name],
                bytes_after=weight_bytes({one.name: _layer(modules, one.name)}),
                activation_limit=limits.get(one.name),
            )
            for one in plan.layers
        ),
        weight_bytes_before=total_before,
        weight_bytes_after=weight_bytes(modules),
        notes=plan.notes,
    )


def _observe(
    modules: Mapping[str, nn.Module], plan: PrecisionPlan, observe: Callable[[], object]
) -> Mapping[str, ActivationRange]:
    layers = {
        one.name: cast("nn.Linear", _layer(modules, one.name))
        for one in plan.layers
        if plan.rounds_inputs(one)
    }
    with observed(layers) as ranges:
        observe()
    if missed := [name for name, seen in ranges.items() if not seen.seen]:
        raise PrecisionError(
            f"calibration {plan.activations}: the golden states did not reach {', '.join(missed)}; "
            "give golden calls that do, or keepFp32 for it"
        )
    return ranges


def _made(
    layer: nn.Module,
    planned: PlannedLayer,
    plan: PrecisionPlan,
    seen: ActivationRange | None,
    *,
    compress_statistics: bool,
) -> nn.Module:
    linear = cast("nn.Linear", layer)
    if planned.precision in ("bf16", "fp16"):
        dtype = TYPES[planned.precision]
        if planned.precision in plan.expanded and planned.layer.kind not in TRANSPOSED:
            return StoredWeights(linear, linear.weight.detach().to(dtype), None, torch.float32)
        return Narrow(layer, dtype)
    if planned.precision == "nf4":
        return Nf4Linear(linear, TYPES[plan.compute], compress_statistics=compress_statistics)
    if plan.rounds_inputs(planned):
        load_bitsandbytes()
        return Int8Linear(linear, steps(plan.activations, linear, seen))
    return StoredWeights(linear, *rounded_weights(linear.weight.detach()), TYPES[plan.compute])


def _layer(modules: Mapping[str, nn.Module], name: str) -> nn.Module:
    root = max((root for root in modules if name == root or name.startswith(f"{root}.")), key=len)
    return modules[root].get_submodule(name[len(root) + 1 :])


def _replace(modules: Mapping[str, nn.Module], old: nn.Module, new: nn.Module) -> None:
    """Everywhere: a layer may be used under several names."""
    for parent in _all(modules):
        # Not named_children, which leaves out a second name.
        for name, child in list(parent._modules.items()):  # noqa: SLF001
            if child is old:
                setattr(parent, name, new)


def _all(modules: Mapping[str, nn.Module]) -> Sequence[nn.Module]:
    return [module for root in modules.values() for module in root.modules()]
