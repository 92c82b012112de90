"""Is a cheaper variant close enough to its baseline? One decision over measurements, with a sentence for each refusal.

Called by the pipeline before a variant becomes ready and by `atheria-server optimize`; verdicts outlive the process as
JSON (`optimize.quality.VerdictStore`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from atheria_contract.optimization import QUALITY_PROFILES, QualityConfig
from atheria_server.core.quality import Measurement, QualityError

NON_FINITE: Final = "non_finite:"
"""Prefix of a measurement that counts NaN and infinite values of an output; no limit allows any."""
STANDARD_ERRORS: Final = 2.0
"""An error that is not larger than this many of its standard errors may be chance."""
ENSEMBLE_MIN: Final = 2
_AT_STEP: Final = re.compile(r"_\d+$")
_FIDELITY: Final = re.compile(r"F_\d+$")

Outcome = Literal["passed", "failed", "not gated", "within noise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityProfile:
    """What is allowed."""

    name: str
    error: float
    """Largest value of a measurement where lower is better."""
    agreement: float
    """Least value of one where higher is better, fidelities apart."""
    fidelity: str
    """The fidelity that counts, at the same least value; those at other steps are told and not judged."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Over the above: by name (`C4_16`), or by name without the step (`C4` = at every step)."""

    def limit_of(self, measurement: Measurement) -> float | None:
        """The limit of one measurement; None = it is told and not judged."""
        if measurement.name.startswith(NON_FINITE):
            return 0.0
        for name in (measurement.name, _AT_STEP.sub("", measurement.name)):
            if name in self.limits:
                return self.limits[name]
        if _FIDELITY.match(measurement.name) and measurement.name != self.fidelity:
            return None
        return self.error if measurement.better == "lower" else self.agreement


_PROFILES: Final[Mapping[str, QualityProfile]] = {
    "default": QualityProfile(name="default", error=0.05, agreement=0.98, fidelity="F_8"),
    "strict": QualityProfile(name="strict", error=0.02, agreement=0.99, fidelity="F_16"),
    "off": QualityProfile(name="off", error=math.inf, agreement=-math.inf, fidelity=""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One measurement with what it was held against."""

    measurement: Measurement
    limit: float | None
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a variant may be served, and why not."""

    passed: bool
    profile: str
    failures: tuple[str, ...]
    """One sentence each: the metric, its value, its limit, the next step."""
    judged: tuple[Judged, ...]
    """Every measurement, by name."""

    @property
    def is_finite(self) -> bool:
        """Whether every output was a number. A variant of which this is false is broken, not imprecise:
        `allow_unvalidated` is not meant for it."""
        return not any(one.measurement.name.startswith(NON_FINITE) for one in self.judged)

    @property
    def summary(self) -> str:
        """One line: the first failure, or what came closest to its limit."""
        if not self.passed:
            more = len(self.failures) - 1
            return self.failures[0] + (f" ({more} more)" if more else "")
        closest = max(
            (one for one in self.judged if one.outcome in ("passed", "within noise")),
            key=_share_of_limit,
            default=None,
        )
        if closest is None:
            return f"passed profile {self.profile}"
        number = _value(closest.measurement)
        return f"passed profile {self.profile}; closest: {number}, limit {_limit(closest)}"

    def to_json(self) -> str:
        """One JSON document; numbers that are not finite are texts in it."""
        return json.dumps(_plain(asdict(self)), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Verdict:
        """What `to_json` wrote. Raises QualityError for anything else."""
        try:
            return _reader().validate_json(text)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise QualityError(f"this is not a verdict: {place or 'the document'}: {first['msg']}") from error


def profile_of(config: QualityConfig) -> QualityProfile:
    """The profile that the settings ask for. Raises QualityError."""
    if config.profile not in QUALITY_PROFILES:
        raise QualityError(
            f"quality.profile is {config.profile!r}; allowed: {', '.join(QUALITY_PROFILES)}, "
            "with quality.limits for single metrics"
        )
    if config.profile == "off" and not config.allow_unvalidated:
        raise QualityError(
            "quality.profile is 'off', so nothing would be proved; set quality.allowUnvalidated too, or use 'default'"
        )
    if config.ensemble < ENSEMBLE_MIN:
        raise QualityError(
            f"quality.ensemble is {config.ensemble}; expected at least {ENSEMBLE_MIN}, and 16 to tell "
            "an error from chance"
        )
    for name, limit in config.limits.items():
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not math.isfinite(limit):
            raise QualityError(f"quality.limits.{name} is {limit!r}; expected a finite number")
        if name.startswith(NON_FINITE):
            raise QualityError(
                f"quality.limits.{name} has no use: NaN and infinity are never allowed; remove it"
            )
    return replace(_PROFILES[config.profile], limits=dict(config.limits))


def judge(measurements: Sequence[Measurement], profile: QualityProfile) -> Verdict:
    """The verdict; the order of the measurements does not matter. Raises QualityError for a name that comes twice.

    A value that is not finite always fails. A `lower` one fails if it exceeds its limit and two standard errors, a
    `higher` one if it is below its limit. What a limit names, and the profile's fidelity where there are others, must have
    been measured. Profile `off` never passes: it proves nothing.
    """
    ordered = sorted(measurements, key=lambda one: (_AT_STEP.sub("", one.name), len(one.name), one.name))
    names = [one.name for one in ordered]
    for name in set(names):
        if names.count(name) > 1:
            raise QualityError(
                f"metric {name} was measured {names.count(name)} times; give each its own name"
            )
    judged = tuple(_judged(one, profile) for one in ordered)
    failures = [_failure(one) for one in judged if one.outcome == "failed"]
    failures += _missing(names, profile)
    if profile.name == "off":
        failures.append("quality.profile is off: nothing was proved; use profile default or strict")
    return Verdict(passed=not failures, profile=profile.name, failures=tuple(failures), judged=judged)


def _judged(measurement: Measurement, profile: QualityProfile) -> Judged:
    limit = profile.limit_of(measurement)
    return Judged(measurement=measurement, limit=limit, outcome=_outcome(measurement, limit))


def _outcome(measurement: Measurement, limit: float | None) -> Outcome:
    value = measurement.value
    if not _is_measured(measurement):
        return "failed"
    if measurement.name.startswith(NON_FINITE):
        return "failed" if value > 0 else "passed"
    if limit is None:
        return "not gated"
    if measurement.better == "higher":
        return "passed" if value >= limit else "failed"
    if value <= limit:
        return "passed"
    return "failed" if value > STANDARD_ERRORS * measurement.standard_error else "within noise"


def _is_measured(measurement: Measurement) -> bool:
    error = measurement.standard_error
    return math.isfinite(measurement.value) and math.isfinite(error) and error >= 0


def _missing(names: Sequence[str], profile: QualityProfile) -> list[str]:
    # Outputs that are not finite leave nothing else to measure.
    if any(name.startswith(NON_FINITE) for name in names):
        return []
    if not names:
        return [
            "nothing was measured; give the LitAPI a compare() that returns measurements, or set quality.metric"
        ]
    known = {*names, *(_AT_STEP.sub("", name) for name in names)}
    failures = [
        f"quality.limits.{name} has a limit, but {name} was not measured; measured: {', '.join(names)}; "
        "correct the name"
        for name in sorted(set(profile.limits) - known)
    ]
    fidelities = [name for name in names if _FIDELITY.match(name)]
    if fidelities and profile.fidelity and profile.fidelity not in fidelities:
        failures.append(
            f"profile {profile.name} judges {profile.fidelity}, but only {', '.join(fidelities)} was measured; "
            "let the golden calls include that step"
        )
    return failures


def _failure(judged: Judged) -> str:
    measurement = judged.measurement
    if measurement.name.startswith(NON_FINITE):
        output = measurement.name.removeprefix(NON_FINITE)
        return (
            f"output {output} has {measurement.value:g} values that are NaN or infinite, the limit is 0: "
            "the weights or the kernels of this precision are broken for this device; use precision.policy bf16 or fp32"
        )
    if not _is_measured(measurement):
        return (
            f"{measurement.name} is {measurement.value:g} with a standard error of {measurement.standard_error:g}, which "
            "cannot be judged: "
            "correct what measures it (compare() or quality.metric), or use precision.policy fp32"
        )
    side = "at most" if measurement.better == "lower" else "at least"
    return (
        f"{_value(measurement)}, allowed is {side} {_limit(judged)}: use precision.policy hierarchy, "
        "keep the layers that matter by precision.keepFp32, or, if this is good enough for you, "
        f"set quality.limits.{measurement.name}"
    )


def _value(measurement: Measurement) -> str:
    name, value = measurement.name, measurement.value
    if measurement.baseline is None or measurement.variant is None:
        more = f" (standard error {measurement.standard_error:.2g})" if measurement.standard_error else ""
        return f"{name} is {value:.4g}{more}"
    return (
        f"{name} is off by {100 * value:.3g} % ({measurement.baseline:.4g} -> {measurement.variant:.4g}, "
        f"standard error {100 * measurement.standard_error:.2g} %)"
    )


def _limit(judged: Judged) -> str:
    if judged.measurement.baseline is None or judged.limit is None:
        return f"{judged.limit:g}"
    return f"{100 * judged.limit:g} %"


def _share_of_limit(judged: Judged) -> float:
    """How much of what is allowed was used: 1 = at the limit."""
    limit = judged.limit or 0.0
    used, allowed = (
        (judged.measurement.value, limit)
        if judged.measurement.better == "lower"
        else (1 - judged.measurement.value, 1 - limit)
    )
    return used / allowed if allowed > 0 else 0.0


@cache
def _reader() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
