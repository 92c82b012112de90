"""The quality gate of one start: the baseline's answers, a variant's answers, the verdict, and where both are kept.

Used by `optimize.variant`. Whether a verdict lets a variant be served is decided here, in one place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atheria_contract.optimization import PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_server.core.errors import QUALITY_REJECTED, ModelRefusedError
from atheria_server.core.quality import QualityError
from atheria_server.core.quality_gate import Verdict, judge, profile_of
from atheria_server.engine.phases import Phase, Progress
from atheria_server.models.contract import Arrays, WarmupCall
from atheria_server.optimize import quality, report
from atheria_server.optimize.loaded import LoadedModel

_LOG = logging.getLogger("atheria.quality")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the model is before anything is changed; parts of a verdict's name."""

    weights: str
    """Digest of the fp32 weights."""
    code: str
    """Digest of the code that computes."""
    torch_version: str
    device: str
    """Its kind, such as `cpu` or `NVIDIA L4`."""


class Gate:
    """Judges variants of one loaded model."""

    def __init__(
        self,
        loaded: LoadedModel,
        config: ServingConfig,
        origin: Origin,
        *,
        shapes: Sequence[tuple[int, ...]],
        requests: Sequence[WarmupCall],
        store: quality.VerdictStore,
        progress: Progress,
    ) -> None:
        """`shapes` are those of the golden calls, empty = the model's own. Raises ModelRefusedError for settings that
        cannot be judged by."""
        self._shapes = shapes
        self._loaded = loaded
        self._config = config
        self._origin = origin
        self._store = store
        self._progress = progress
        self._outputs: Sequence[Arrays] | None = None
        self.calls: Sequence[WarmupCall] = ()
        """The golden calls."""
        self.problem = ""
        """Why nothing can be judged; empty = it can."""
        try:
            self._profile = profile_of(config.quality)
            self.calls = self._golden_calls(requests)
        except QualityError as error:
            self._not_judged(error)

    def remember_baseline(self) -> None:
        """Compute the golden calls; to be called while the model is the fp32 eager one."""
        if self.problem or self._config.quality.profile == "off":
            return
        digest = quality.golden_digest(weights=self._origin.weights, code=self._origin.code, calls=self.calls)
        self._outputs = self._store.get_golden(digest)
        if self._outputs is None:
            self._outputs = self._run("measuring the baseline")
            try:
                self._store.put_golden(digest, self._outputs)
            except (OSError, ValueError) as error:
                _LOG.warning("event=baseline_not_kept error=%r", error)

    def known(self, precision: PrecisionConfig, mode: str) -> Verdict | None:
        """The verdict of an earlier start on this variant."""
        if self.problem or self._config.quality.profile == "off":
            return None
        return self._store.get(self._digest(precision, mode))

    def judge(self, precision: PrecisionConfig, mode: str) -> Verdict | None:
        """The verdict on the model as it is now; None = it cannot be judged. Raises ModelRefusedError."""
        if self.problem or self._config.quality.profile == "off":
            return None
        found = self.known(precision, mode)
        if found is not None:
            return found
        if self._outputs is None:
            raise RuntimeError("no baseline was computed; call remember_baseline before the model is changed")
        settings = self._config.quality
        try:
            variant = self._run(f"judging {precision.policy}")
            self._progress(self._comparing())
            measured = quality.compare(
                self._loaded.api,
                self._outputs,
                variant,
                metric=settings.metric,
                limits=tuple(settings.limits),
            )
            verdict = judge(measured, self._profile)
        except QualityError as error:
            self._not_judged(error)
            return None
        try:
            self._store.put(self._digest(precision, mode), verdict)
        except OSError as error:
            _LOG.warning("event=verdict_not_kept error=%r", error)
        return verdict

    def accept(self, verdict: Verdict | None) -> Mapping[str, Any]:
        """The report's section on quality. Raises ModelRefusedError for a variant that may not be served."""
        settings = self._config.quality
        if verdict is None:
            reason = report.ALLOWED if settings.profile == "off" else report.NOT_JUDGED
            message = self.problem or "quality.profile is off: nothing was proved"
            return report.quality_section(settings.profile, passed=None, reason=reason, message=message)
        measurements = [
            {
                "name": one.measurement.name,
                "value": one.measurement.value,
                "limit": one.limit,
                "better": one.measurement.better,
                "outcome": one.outcome,
            }
            for one in verdict.judged
        ]
        if not verdict.passed and not (settings.allow_unvalidated and verdict.is_finite):
            raise ModelRefusedError(QUALITY_REJECTED, "; ".join(verdict.failures))
        if not verdict.passed:
            _LOG.warning("event=quality_failed allowed=true %s", verdict.summary)
        return report.quality_section(
            settings.profile,
            passed=verdict.passed,
            reason=report.PASSED if verdict.passed else report.ALLOWED,
            message=verdict.summary,
            measurements=measurements,
        )

    def observe(self) -> None:
        """Compute golden calls for whoever watches the layers."""
        samples = self._config.precision.calibration.samples
        self._run("calibrating", limit=samples)

    def _comparing(self) -> Phase:
        """A metric of the user's is held to the time of their hooks."""
        metric, bound = self._config.quality.metric, self._config.warmup.hook_timeout_seconds
        if not metric:
            return Phase(name="comparing")
        return Phase(
            name="comparing",
            detail=metric,
            bound_seconds=bound,
            overdue=f"{QUALITY_REJECTED}: quality.metric {metric!r} did not return within {bound:g} s; "
            "make it shorter or raise warmup.hookTimeout",
        )

    def _golden_calls(self, requests: Sequence[WarmupCall]) -> Sequence[WarmupCall]:
        if not self._loaded.described:
            if not requests:
                raise QualityError(
                    "the LitAPI declares no tensors, so there is nothing to compare variants on; set warmup.requests"
                )
            return requests
        return quality.golden_calls(
            self._loaded.api,
            self._shapes,
            self._config.quality.ensemble,
            self._config.max_batch_size,
            requests=requests,
        )

    def _not_judged(self, error: QualityError) -> None:
        if not self._config.quality.allow_unvalidated:
            raise ModelRefusedError(
                QUALITY_REJECTED, f"{error}; or set quality.allowUnvalidated to serve it without proof"
            ) from error
        _LOG.warning("event=not_judged reason=%s", error)
        self.problem = str(error)

    def _run(self, name: str, limit: int | None = None) -> list[dict[str, Any]]:
        calls = self.calls if limit is None else self.calls[:limit]
        outputs = []
        for index, call in enumerate(calls):
            self._progress(Phase(name=name, done=index, total=len(calls)))
            outputs.append(self._loaded.compute(call))
        return outputs

    def _digest(self, precision: PrecisionConfig, mode: str) -> str:
        return quality.variant_digest(
            weights=self._origin.weights,
            code=self._origin.code,
            torch_version=self._origin.torch_version,
            device=self._origin.device,
            compile_mode=mode,
            precision=precision,
            quality=self._config.quality,
            shapes=self._shapes,
            parameters=self._config.parameters,
        )
