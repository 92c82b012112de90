"""Tries precision policies on one model, each on a fresh copy, by the steps that a start of the server takes.

Called by `atheria-server optimize`. Nothing is served, and what fails is a result like any other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from atheria_contract.optimization import CalibrationConfig, CompileConfig
from atheria_contract.serving import ServingConfig
from atheria_server.core.errors import ModelRefusedError
from atheria_server.core.quality_gate import Verdict
from atheria_server.engine.phases import Progress
from atheria_server.models.contract import WarmupCall
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.precision.apply import LayerReport
from atheria_server.optimize.precision.counted import weight_bytes
from atheria_server.optimize.precision.networks import layers_of, modules_of
from atheria_server.optimize.precision.peak import measured_peak
from atheria_server.optimize.requests import parse_requests
from atheria_server.optimize.variant import Variant

CALIBRATION_ROWS: Final = ("none", "dynamic", "assumed", "minmax", "percentile", "smoothquant")
"""Methods that are compared: weights alone, ranges found at each use, one range for all, and the calibrated ones."""
_UNCOMPILED: Final = "off"
_KEPT: Final = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of one policy."""

    policy: str
    """As asked for."""
    calibration: str
    taken: str = ""
    """The policy that `auto` took, or the same as `policy`; empty = none."""
    layers: tuple[LayerReport, ...] = ()
    weight_bytes_before: int = 0
    weight_bytes_after: int = 0
    peak_bytes: int | None = None
    """Measured at one golden call, beyond what was in use before it; None = there is no golden call."""
    peak_rows: int = 0
    """Rows of that call."""
    verdict: Verdict | None = None
    """None = refused before it could be judged, or nothing to judge by."""
    refusal: str = ""
    why: str = ""
    """Of `auto`: what it took, and a sentence for each policy that it rejected."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it may be served."""
        return not self.refusal and (
            self.taken == _KEPT or (self.verdict is not None and self.verdict.passed)
        )

    def to_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return asdict(self) | {"passed": self.passed}


def try_policy(config: ServingConfig, device: str, progress: Progress) -> Tried:
    """Load, convert and judge by `config.precision` and `config.quality`, without compiling.

    Raises SourceError, and what the model's own code raises; a policy that cannot be applied is a result.
    """
    began = time.perf_counter()
    policy, method = config.precision.policy, config.precision.calibration.method
    loaded = load_model(config.source, config.parameters, digest=config.digest, device=device)
    before = weight_bytes(modules_of(loaded.api))
    try:
        variant = _variant(loaded, config, progress)
        variant.gate.remember_baseline()
        variant.narrow()
        peak, rows = _peak(loaded, variant.gate.calls)
        verdict = variant.gate.judge(variant.precision, _UNCOMPILED) if variant.report else None
    except ModelRefusedError as error:
        return Tried(
            policy=policy,
            calibration=method,
            refusal=str(error),
            weight_bytes_before=before,
            seconds=time.perf_counter() - began,
        )
    return Tried(
        policy=policy,
        calibration=method,
        taken=variant.precision.policy,
        layers=variant.report.layers if variant.report else _unchanged(variant),
        weight_bytes_before=before,
        weight_bytes_after=variant.weight_bytes,
        peak_bytes=peak,
        peak_rows=rows,
        verdict=verdict,
        why=variant.why,
        notes=variant.report.notes if variant.report else (),
        seconds=time.perf_counter() - began,
    )


def try_calibrations(config: ServingConfig, device: str, progress: Progress) -> Sequence[Tried]:
    """The configured policy with each of CALIBRATION_ROWS."""
    samples = config.precision.calibration.samples
    return [
        try_policy(
            replace(
                config,
                precision=replace(
                    config.precision, calibration=CalibrationConfig(method=method, samples=samples)
                ),
            ),
            device,
            progress,
        )
        for method in CALIBRATION_ROWS
    ]


def _variant(loaded: LoadedModel, config: ServingConfig, progress: Progress) -> Variant:
    return Variant(
        loaded,
        replace(config, compile=CompileConfig()),
        requests=parse_requests(config.warmup.requests),
        reload=lambda: loaded.api.setup(loaded.device),
        progress=progress,
    )


def _peak(loaded: LoadedModel, calls: Sequence[WarmupCall]) -> tuple[int | None, int]:
    if not calls:
        return None, 0
    call = calls[0]
    rows = loaded.batch(call).rows if loaded.described else 1
    return measured_peak(loaded.device, rows, lambda: loaded.compute(call)), rows


def _unchanged(variant: Variant) -> tuple[LayerReport, ...]:
    return tuple(
        LayerReport(
            name=layer.name,
            kind=layer.kind,
            group="",
            precision=_KEPT,
            reason="",
            bytes_before=layer.weight_bytes,
            bytes_after=layer.weight_bytes,
        )
        for layer in layers_of(variant.modules)
    )
