"""Policy `auto`: which candidates there are, and which of them is taken. Pure: what tries a candidate is given.

Called by the optimisation pipeline and by `atheria-server optimize --precision auto`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import Capability, Layer, PrecisionError, plan_precision

_ORDER: Final = ("nf4", "hierarchy", "int8", "bf16", "fp16", "fp32")
_ANY: Final = Capability(kind="cuda", sm=(99, 0), bitsandbytes="any")
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one candidate."""

    passed: bool
    """By the quality gate."""
    needed_bytes: int
    """Measured: weights and peak together."""
    reasons: tuple[str, ...] = ()
    """Why it did not pass, as sentences without a full stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What `auto` came to."""

    config: PrecisionConfig | None
    """None = no candidate passed."""
    rejected: tuple[str, ...]
    """A sentence for each candidate before it."""
    sentence: str
    """Why this one."""


TryCandidate = Callable[[PrecisionConfig], Trial]
"""Applies the candidate to a fresh model, measures and judges it. May raise PrecisionError."""


def candidates(
    config: PrecisionConfig, layers: Sequence[Layer] = (), groups: Mapping[str, Sequence[str]] | None = None
) -> tuple[PrecisionConfig, ...]:
    """What `auto` tries, fewest weight bytes first, fp32 last; without `layers` in the order usual for them.

    Each keeps the policy's `hierarchy` fields, `compute`, `keep_fp32`, and its calibration where it has int8 layers.
    """
    found = [_candidate(config, policy) for policy in _ORDER]
    return tuple(sorted(found, key=lambda one: _expected_bytes(one, layers, groups or {})))


def choose(
    tried: Sequence[PrecisionConfig], try_candidate: TryCandidate, *, memory_limit_bytes: int | None = None
) -> Choice:
    """The first that passes the gate within the limit (None = no limit); those after it are not tried."""
    rejected: list[str] = []
    for config in tried:
        try:
            trial = try_candidate(config)
        except PrecisionError as error:
            rejected.append(f"{config.policy} was not tried: {error}.")
            continue
        if not trial.passed:
            why = "; ".join(trial.reasons) or "the quality gate gave no reason"
            rejected.append(f"{config.policy} failed the quality gate: {why}.")
        elif memory_limit_bytes is not None and trial.needed_bytes > memory_limit_bytes:
            rejected.append(
                f"{config.policy} passed the quality gate but needs {_mebibytes(trial.needed_bytes)}, over the limit of "
                f"{_mebibytes(memory_limit_bytes)}."
            )
        else:
            return Choice(config=config, rejected=tuple(rejected), sentence=_taken(config, trial, rejected))
    return Choice(
        config=None,
        rejected=tuple(rejected),
        sentence="No candidate passed the quality gate within the memory; raise the memory or the limits of quality.",
    )


def _taken(config: PrecisionConfig, trial: Trial, rejected: Sequence[str]) -> str:
    cheaper = (
        f" ({len(rejected)} cheaper {'was' if len(rejected) == 1 else 'were'} rejected)" if rejected else ""
    )
    return f"{config.policy} is the cheapest that passes{cheaper}, with {_mebibytes(trial.needed_bytes)} measured."


def _candidate(config: PrecisionConfig, policy: str) -> PrecisionConfig:
    hierarchy = (config.encoder, config.backbone, config.head)
    has_int8 = policy == "int8" or (policy == "hierarchy" and "int8" in hierarchy)
    return replace(
        config,
        policy=policy,
        calibration=config.calibration if has_int8 else CalibrationConfig(),
    )


def _expected_bytes(
    config: PrecisionConfig, layers: Sequence[Layer], groups: Mapping[str, Sequence[str]]
) -> float:
    try:
        return plan_precision(config, layers, groups, _ANY).expected_bytes if layers else 0.0
    except PrecisionError:
        return 0.0  # its refusal costs nothing, and comes first as a sentence


def _mebibytes(count: int) -> str:
    return f"{count / _MEBIBYTE:.2f} MiB"
