"""Which precision each layer of a model gets: the plan behind `spec.precision`, and every refusal with its alternative.

Pure: the layers, the groups and what the hardware can do are given. Called by the optimisation pipeline and by
`atheria-server optimize` before `optimize.precision.apply_precision` changes a model. Formulas here only put candidates
in an order; what a layer takes is counted by `optimize.precision.weight_bytes`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from atheria_contract.optimization import (
    CALIBRATIONS,
    COMPUTE_TYPES,
    POLICIES,
    PRECISIONS,
    PrecisionConfig,
)

GROUPS: Final = ("encoder", "backbone", "head")
LINEAR: Final = "Linear"
CONVOLUTIONS: Final = ("Conv1d", "Conv2d", "Conv3d")
TRANSPOSED: Final = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
CONVERTIBLE: Final = (LINEAR, *CONVOLUTIONS, *TRANSPOSED)
"""Kinds of layers whose weights can be kept in less; norms and embeddings stay as they are."""
METHODS: Final = tuple(dict.fromkeys((*CALIBRATIONS, "dynamic", "assumed")))
"""Of calibration. `dynamic`: activations in int8 by the range of each row, without calibration. `assumed`: by one range
for every layer, what calibration is compared with."""
NF4_BLOCK: Final = 64
_BITS: Final = {"fp32": 32.0, "bf16": 16.0, "fp16": 16.0, "int8": 8.0, "nf4": 4.5}


class PrecisionError(ValueError):
    """The policy cannot be applied; the message names what, and what to ask for instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One module of the model that has weights of its own."""

    name: str
    """Qualified, with the name of its network first: `law.hidden.0`."""
    kind: str
    """The name of its class."""
    in_features: int
    """Of a Linear; channels of a convolution; 0 = neither."""
    out_features: int
    weight_bytes: int
    """Counted, before anything is changed."""
    fixed: str = ""
    """Why it must stay as it is although its kind could be changed; empty = it may be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What the device and the installed libraries can do."""

    kind: Literal["cpu", "cuda"]
    name: str = ""
    sm: tuple[int, int] | None = None
    """CUDA compute capability, e.g. (8, 9)."""
    cpu_flags: frozenset[str] = frozenset()
    """Of /proc/cpuinfo."""
    bitsandbytes: str = ""
    """Version; empty = not installed."""
    torch: str = ""

    @property
    def multiplies_bf16(self) -> bool:
        """Whether bf16 has instructions of its own."""
        if self.kind == "cuda":
            return self.sm is not None and self.sm >= (8, 0)
        return not self.cpu_flags.isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))

    @property
    def multiplies_fp16(self) -> bool:
        """Whether fp16 has instructions of its own."""
        return self.kind == "cuda" or not self.cpu_flags.isdisjoint(("avx512_fp16", "amx_fp16", "fphp"))

    @property
    def title(self) -> str:
        """As messages name it."""
        generation = f", SM {self.sm[0]}.{self.sm[1]}" if self.sm else ""
        return f"{self.kind} ({self.name or 'unnamed'}{generation})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLayer:
    """What one layer becomes."""

    layer: Layer
    precision: str
    """One of PRECISIONS; `fp32` = it stays as it is."""
    group: str = ""
    reason: str = ""
    """Why it stays, where that is not the policy's own wish."""

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.layer.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionPlan:
    """What `apply_precision` does."""

    policy: str
    layers: tuple[PlannedLayer, ...]
    compute: str = "fp32"
    """Type that int8 and nf4 layers multiply in; bf16 and fp16 layers multiply in their own (see `expanded`)."""
    activations: str = "none"
    """One of METHODS: how the Linears that are int8 round what they read."""
    expanded: frozenset[str] = frozenset()
    """Of bf16 and fp16: what this device has no instructions for. Weights are kept so and multiplied in fp32."""
    notes: tuple[str, ...] = ()
    """What works, yet not as one may think."""

    @property
    def changes(self) -> bool:
        """Whether any layer is changed."""
        return any(planned.precision != "fp32" for planned in self.layers)

    @property
    def needs_observation(self) -> bool:
        """Whether ranges are learnt from real states."""
        return self.activations in ("minmax", "percentile", "smoothquant")

    def rounds_inputs(self, planned: PlannedLayer) -> bool:
        """Whether what this layer reads becomes int8, too."""
        is_int8_linear = planned.precision == "int8" and planned.layer.kind == LINEAR
        return self.activations != "none" and is_int8_linear

    @property
    def expected_bytes(self) -> float:
        """A formula that orders candidates; never to be reported."""
        return sum(
            planned.layer.weight_bytes * _BITS[planned.precision] / _BITS["fp32"] for planned in self.layers
        )


def plan_precision(
    config: PrecisionConfig,
    layers: Sequence[Layer],
    groups: Mapping[str, Sequence[str]],
    capability: Capability,
    critical: Sequence[str] = (),
) -> PrecisionPlan:
    """Each layer's precision; a name's group is the first in `groups` of which a pattern (fnmatch) matches it.

    `critical`: patterns of the model's own for layers that stay as they are where one precision is asked for throughout.
    Raises PrecisionError for what is unknown, unsupported or without effect.
    """
    _check_names(config)
    vital = () if config.policy == "hierarchy" else critical
    kept = dict.fromkeys(_matched("critical_layers", vital, layers), "critical to this model")
    kept |= dict.fromkeys(_matched("keepFp32", config.keep_fp32, layers), "keepFp32")
    group_of = {layer.name: _group(layer.name, groups) for layer in layers}
    if config.policy == "hierarchy":
        _check_groups(config, groups, layers, group_of)
    planned = tuple(
        _planned(layer, group_of[layer.name], _wanted(config, group_of[layer.name]), kept) for layer in layers
    )
    plan = PrecisionPlan(
        policy=config.policy,
        layers=planned,
        compute=config.compute,
        activations=config.calibration.method,
        expanded=frozenset(one for one in ("bf16", "fp16") if not _multiplies(one, capability)),
        notes=tuple(_notes(planned, config, capability)),
    )
    _check_effect(plan)
    for one in plan.layers:
        _check_support(one, plan, capability)
    _check_compute(plan, capability)
    return plan


def _check_names(config: PrecisionConfig) -> None:
    if config.policy == "auto":
        raise PrecisionError("policy auto is a search; plan each of its candidates instead")
    named = {"policy": (config.policy, tuple(p for p in POLICIES if p != "auto"))}
    if config.policy == "hierarchy":
        named |= {group: (getattr(config, group), PRECISIONS) for group in GROUPS}
    for name, (value, allowed) in named.items():
        if value.startswith("fp8"):
            raise PrecisionError(
                f"precision {name} is {value!r}: fp8 is not offered (its matrix product needs a GPU of SM 8.9 or "
                f"newer and has no convolution); use int8, which has the same bytes, or one of {', '.join(allowed)}"
            )
        if value not in allowed:
            raise PrecisionError(f"precision {name} is {value!r}; allowed: {', '.join(allowed)}")
    if config.compute not in COMPUTE_TYPES:
        raise PrecisionError(f"precision compute is {config.compute!r}; allowed: {', '.join(COMPUTE_TYPES)}")
    if config.calibration.method not in METHODS:
        raise PrecisionError(
            f"precision calibration method is {config.calibration.method!r}; allowed: {', '.join(METHODS)}"
        )


def _matched(setting: str, patterns: Sequence[str], layers: Sequence[Layer]) -> frozenset[str]:
    names = [layer.name for layer in layers]
    kept: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            near = difflib.get_close_matches(pattern, names, n=5, cutoff=0.4) or names[:5]
            raise PrecisionError(
                f"{setting} pattern {pattern!r} matches no layer; near names: {', '.join(near) or 'none, the model has no layers'}"
            )
        kept.update(found)
    return frozenset(kept)


def _group(name: str, groups: Mapping[str, Sequence[str]]) -> str:
    return next(
        (group for group, patterns in groups.items() if any(fnmatchcase(name, one) for one in patterns)), ""
    )


def _check_groups(
    config: PrecisionConfig,
    groups: Mapping[str, Sequence[str]],
    layers: Sequence[Layer],
    group_of: Mapping[str, str],
) -> None:
    listed = "; ".join(
        f"{group}: {', '.join(n for n, g in group_of.items() if g == group) or 'no layers'}"
        for group in dict.fromkeys((*GROUPS, *groups))
    )
    if unknown := [group for group in groups if group not in GROUPS]:
        raise PrecisionError(
            f"the model's module_groups names group {unknown[0]!r}; allowed: {', '.join(GROUPS)} (found: {listed})"
        )
    convertible = {layer.name for layer in layers if layer.kind in CONVERTIBLE}
    for group in GROUPS:
        if not any(g == group and name in convertible for name, g in group_of.items()):
            raise PrecisionError(
                f"policy hierarchy gives group {group} precision {getattr(config, group)}, but it has no layers; "
                f"groups found: {listed}; correct the model's module_groups or use one policy for all, such as int8"
            )


def _wanted(config: PrecisionConfig, group: str) -> str:
    if config.policy != "hierarchy":
        return config.policy
    return str(getattr(config, group)) if group else "fp32"


def _planned(layer: Layer, group: str, wanted: str, kept: Mapping[str, str]) -> PlannedLayer:
    reason = ""
    if wanted != "fp32":
        if layer.name in kept:
            reason = kept[layer.name]
        elif layer.kind not in CONVERTIBLE:
            reason = f"a {layer.kind} stays as it is"
        else:
            reason = layer.fixed
    return PlannedLayer(layer=layer, precision="fp32" if reason else wanted, group=group, reason=reason)


def _check_effect(plan: PrecisionPlan) -> None:
    if plan.policy != "fp32" and not plan.changes:
        why = "; ".join(sorted({f"{p.name}: {p.reason}" for p in plan.layers if p.reason})[:5])
        raise PrecisionError(
            f"policy {plan.policy} changes no layer ({why or 'the model has no Linear and no convolution'}); use fp32"
        )
    if plan.activations != "none" and not any(map(plan.rounds_inputs, plan.layers)):
        raise PrecisionError(
            f"calibration {plan.activations} is for the activations of int8 Linear layers, and policy {plan.policy} "
            "makes none; set calibration method none, or use policy int8"
        )


def _check_support(planned: PlannedLayer, plan: PrecisionPlan, capability: Capability) -> None:
    layer, precision = planned.layer, planned.precision
    if precision == "nf4":
        if layer.kind != LINEAR:
            raise PrecisionError(
                f"nf4 is for Linear, but {layer.name} is a {layer.kind}; use int8 or keepFp32 for it"
            )
        if not capability.bitsandbytes:
            raise PrecisionError(
                f"nf4 of {layer.name} needs bitsandbytes, which is not installed; "
                "install the extra optimize (pip install 'atheria[optimize]') or use bf16"
            )
    if precision == "int8":
        if layer.kind in TRANSPOSED:
            raise PrecisionError(
                f"int8 is for Linear and Conv1d to Conv3d, but {layer.name} is a {layer.kind}; use bf16 or keepFp32 for it"
            )
        if plan.rounds_inputs(planned):
            _check_rounding(planned, plan, capability)
    if precision == "bf16" and capability.kind == "cuda" and not capability.multiplies_bf16:
        raise PrecisionError(f"bf16 needs a GPU of SM 8.0 or newer, and this is {capability.title}; use fp16")


def _check_compute(plan: PrecisionPlan, capability: Capability) -> None:
    uses = any(one.precision in ("int8", "nf4") for one in plan.layers)
    if uses and plan.compute == "bf16" and capability.kind == "cuda" and not capability.multiplies_bf16:
        raise PrecisionError(
            f"compute bf16 needs a GPU of SM 8.0 or newer, and this is {capability.title}; use compute fp16"
        )


def _check_rounding(planned: PlannedLayer, plan: PrecisionPlan, capability: Capability) -> None:
    if not capability.bitsandbytes:
        raise PrecisionError(
            f"int8 activations (calibration {plan.activations}) of {planned.name} need bitsandbytes, which is not "
            "installed; install the extra optimize (pip install 'atheria[optimize]') or set calibration method none"
        )
    if capability.kind == "cuda" and (capability.sm is None or capability.sm < (7, 5)):
        raise PrecisionError(
            f"int8 activations (calibration {plan.activations}) of {planned.name} need a GPU of SM 7.5 or newer, "
            f"and this is {capability.title}; set calibration method none, which keeps the weights alone in int8"
        )


def _notes(planned: Sequence[PlannedLayer], config: PrecisionConfig, capability: Capability) -> Iterator[str]:
    used = {one.precision for one in planned}
    computes = {config.compute} if used & {"int8", "nf4"} else set()
    for name in ("bf16", "fp16"):
        if not _multiplies(name, capability) and name in used:
            yield (
                f"{name} saves weight bytes and not time here: {_lacks(name, capability)}, so weights are expanded to fp32 "
                "at each use"
            )
        if not _multiplies(name, capability) and name in computes:
            yield f"compute {name} is slower than fp32 here: {_lacks(name, capability)}; use compute fp32"
    if "nf4" in used:
        yield "nf4 saves weight bytes, not time or activations: weights are expanded at each use"
        across = [o.name for o in planned if o.precision == "nf4" and o.layer.in_features % NF4_BLOCK]
        if across:
            yield (
                f"the inputs of {', '.join(across)} are no multiple of {NF4_BLOCK}: blocks reach across rows, and a GPU "
                "has no fast kernel for them"
            )
    if config.calibration.method != "none":
        weights_only = [o.name for o in planned if o.precision == "int8" and o.layer.kind != LINEAR]
        if weights_only:
            yield f"int8 activations are for Linear: of {', '.join(weights_only)} the weights alone are int8"
    outside = [o.name for o in planned if config.policy == "hierarchy" and not o.group]
    if outside:
        yield f"in no group, and therefore as they were: {', '.join(outside)}"


def _multiplies(name: str, capability: Capability) -> bool:
    return capability.multiplies_bf16 if name == "bf16" else capability.multiplies_fp16


def _lacks(name: str, capability: Capability) -> str:
    missing = "neither AVX512-BF16 nor AMX" if name == "bf16" else "no instructions for fp16"
    return f"{capability.title} has {missing}"
