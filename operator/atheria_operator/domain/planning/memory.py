"""What a model takes of a device's memory, as a sum that a person can check; called by `planning.choice`.

A sum of what was declared or counted can refuse a model; an unknown term never does. Weights that are declared in fp32 and
served in fewer bits are taken at the fewest bits that the policy allows, without scales: the sum is then a lower bound, and
says `modelled`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.api.quantities import bytes_text, quantity_bytes
from atheria_operator.domain.desired.revision import config_text
from atheria_operator.domain.observed import CONFIG_MAP, Observed

_FP32_BITS: Final = 32
_BITS: Final = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8, "nf4": 4, "auto": 4}
_SAME_WEIGHTS: Final = ("source", "parameters", "digest", "precision")
"""Keys of the serving configuration that decide over the bytes of the weights."""
MEASURED: Final = "measured"
DECLARED: Final = "declared"
MODELLED: Final = "modelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySum:
    """Bytes on one device; None for what is not known."""

    weights_bytes: int | None
    weights_basis: str
    """MEASURED, DECLARED or MODELLED."""
    precision: str
    row_bytes: int | None
    """Activations and cache of one row, declared."""
    rows: int
    """Of the largest batch."""
    copies: int
    """Processes on the device that each hold the model."""

    @property
    def is_known(self) -> bool:
        """Whether there is anything to add up."""
        return self.weights_bytes is not None or self.row_bytes is not None

    @property
    def total_bytes(self) -> int:
        """What is known of it."""
        return self.copies * ((self.weights_bytes or 0) + self.rows * (self.row_bytes or 0))

    @property
    def basis(self) -> str:
        """Of the total: that of its weakest term."""
        if self.weights_bytes is None or self.weights_basis == MEASURED:
            return MEASURED if not self.row_bytes else DECLARED
        return self.weights_basis

    def rows_that_fit(self, memory_bytes: int) -> int:
        """Rows of a batch for which there is memory beside the weights; 0 for none."""
        free = memory_bytes // self.copies - (self.weights_bytes or 0)
        return max(0, free // self.row_bytes) if self.row_bytes else (self.rows if free >= 0 else 0)

    def __str__(self) -> str:
        """The sum written out, e.g. `weights 3.00 GiB (measured) + 8 rows x 0.12 GiB (declared) = 3.96 GiB`."""
        terms: list[str] = []
        if self.weights_bytes is not None:
            at_least = "at least " if self.weights_basis == MODELLED else ""
            terms.append(
                f"weights {at_least}{bytes_text(self.weights_bytes)} in {self.precision} ({self.weights_basis})"
            )
        if self.row_bytes is not None:
            terms.append(f"{self.rows} rows x {bytes_text(self.row_bytes)} (declared)")
        text = " + ".join(terms)
        if self.copies > 1:
            text = f"{self.copies} workers x ({text})"
        return f"{text} = {bytes_text(self.total_bytes)}"


def memory_sum(intent: ModelIntent, measured_bytes: int | None) -> MemorySum:
    """The sum of an intent; `measured_bytes` is what a pod counted of exactly these weights, None = none has."""
    policy = intent.serving.precision.policy
    declared = intent.memory.weights_bytes
    weights, basis = measured_bytes, MEASURED
    if weights is None and declared is not None:
        bits = _fewest_bits(intent)
        weights, basis = declared * bits // _FP32_BITS, DECLARED if bits == _FP32_BITS else MODELLED
    row_terms = (intent.memory.activations_bytes_per_row, intent.memory.cache_bytes_per_row)
    known_terms = [term for term in row_terms if term is not None]
    return MemorySum(
        weights_bytes=weights,
        weights_basis=basis,
        precision=policy,
        row_bytes=sum(known_terms) if known_terms else None,
        rows=intent.serving.max_batch_size,
        copies=intent.serving.workers,
    )


def available_bytes(intent: ModelIntent, profile: HardwareProfile) -> int | None:
    """Memory of one device; without a device that of the container, as spec.podTemplate or the profile limits it. None = unknown.

    Of a custom container that of all its devices: our server holds the model on each of them, others split it.
    """
    if profile.resource_name:
        copies = intent.device_count if intent.custom else 1
        return None if profile.memory_bytes is None else profile.memory_bytes * copies
    for container in (intent.pod_template.get("spec") or {}).get("containers") or ():
        limits = (container.get("resources") or {}).get("limits") or {}
        if container.get("name") == names.CONTAINER_MODEL and "memory" in limits:
            try:
                return quantity_bytes(limits["memory"], "memory")
            except ValueError:
                # In another spelling; the API server judges it.
                return None
    return profile.memory_bytes


def measured_weight_bytes(intent: ModelIntent, observed: Observed, before: Mapping[str, Any]) -> int | None:
    """status.precision.weightBytes, where the revision that told it serves the very weights of the intent; else None."""
    told = before.get("precision") or {}
    config = observed.children.get((CONFIG_MAP, str(told.get("revision") or "")))
    if config is None or told.get("weightBytes") is None:
        return None
    try:
        served = json.loads((config.get("data") or {}).get(names.CONFIG_FILE) or "{}")
    except ValueError:
        # Somebody has changed it: it is repaired in this very round.
        return None
    wanted = json.loads(config_text(intent.serving))
    is_same = isinstance(served, dict) and all(served.get(key) == wanted.get(key) for key in _SAME_WEIGHTS)
    return int(told["weightBytes"]) if is_same else None


def _fewest_bits(intent: ModelIntent) -> int:
    precision = intent.serving.precision
    if precision.policy == "hierarchy":
        return min(_BITS[group] for group in (precision.encoder, precision.backbone, precision.head))
    return _BITS[precision.policy]
