"""Makes the variant that the settings ask for out of a loaded model, step by step; the only caller is `optimize.pipeline`.

Imports torch: only in a worker, and only where a variant is asked for.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from atheria_contract.optimization import CacheConfig, PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_server.core.errors import PRECISION_UNSUPPORTED, ModelRefusedError
from atheria_server.core.precision import PrecisionError, plan_precision
from atheria_server.core.precision_choice import Trial, candidates, choose
from atheria_server.engine.device_memory import free_bytes
from atheria_server.engine.phases import Phase, Progress
from atheria_server.models.contract import WarmupCall
from atheria_server.optimize import precision, quality
from atheria_server.optimize.cache_secret import read_secret
from atheria_server.optimize.gate import Gate, Origin
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.precision.peak import measured_peak

_LOG = logging.getLogger("atheria.optimize")
_NOT_COMPILED: Final = "off"
_VERDICTS: Final = "verdicts"


class Variant:
    """One model on its way from fp32 eager to what is served."""

    def __init__(
        self,
        loaded: LoadedModel,
        config: ServingConfig,
        *,
        requests: Sequence[WarmupCall],
        reload: Callable[[], None],
        progress: Progress,
    ) -> None:
        self._loaded = loaded
        self._config = config
        self._reload = reload
        self._progress = progress
        self.shapes = config.warmup_shapes or _default_shapes(loaded.api)
        """Of one row each; empty = the model does not say which it is made for."""
        self._capability = precision.probe(loaded.device)
        self.modules = precision.modules_of(loaded.api)
        progress(Phase(name="reading the weights"))
        self.weights_digest = quality.weights_digest(self.modules)
        self.code_digest = quality.code_digest(loaded.api)
        self.gate = Gate(
            loaded,
            config,
            Origin(
                weights=self.weights_digest,
                code=self.code_digest,
                torch_version=torch.__version__,
                device=self._capability.name or self._capability.kind,
            ),
            # Compiled code is proved at the shapes that are served: others would be compiled for the proof alone.
            shapes=config.warmup_shapes if config.compile.mode == _NOT_COMPILED else self.shapes,
            requests=requests,
            store=_verdicts(config.cache),
            progress=progress,
        )
        self.precision = config.precision
        """What was chosen; never `auto`."""
        self.report: precision.PrecisionReport | None = None
        """What it did; None = nothing."""
        self.why = ""
        """Why `auto` chose it."""

    @property
    def weight_bytes(self) -> int:
        """Counted, as the model is now."""
        return precision.weight_bytes(self.modules)

    def narrow(self) -> None:
        """Keep the weights as the policy says, and refuse what fails its gate. Raises ModelRefusedError."""
        policy = self._config.precision.policy
        if policy == "fp32":
            return
        if not self.modules:
            raise ModelRefusedError(
                PRECISION_UNSUPPORTED,
                f"precision.policy is {policy!r}, and {type(self._loaded.api).__name__} has no torch.nn.Module among its "
                "attributes after setup; give it a method modules(), or set precision.policy to fp32",
            )
        try:
            if policy == "auto":
                self._choose()
            else:
                self._apply(self._config.precision)
        except PrecisionError as error:
            raise ModelRefusedError(PRECISION_UNSUPPORTED, str(error)) from error

    def judge_precision(self) -> Mapping[str, Any]:
        """The report's section on quality of the model as `narrow` left it. Raises ModelRefusedError."""
        return self.gate.accept(self.gate.judge(self.precision, _NOT_COMPILED))

    def _apply(self, wanted: PrecisionConfig) -> None:
        self._progress(Phase(name="quantizing", detail=wanted.policy))
        plan = plan_precision(
            wanted,
            precision.layers_of(self.modules),
            precision.groups_of(self._loaded.api, self.modules),
            self._capability,
            precision.critical_of(self._loaded.api),
        )
        self.report = precision.apply_precision(
            self.modules, plan, device=self._loaded.device, observe=self.gate.observe
        )
        if changed := getattr(self._loaded.api, "weights_changed", None):
            changed()
        self.precision = wanted
        for note in self.report.notes:
            _LOG.warning("event=precision_note %s", note)
        _LOG.info(
            "event=quantized policy=%s weight_bytes_before=%d weight_bytes_after=%d",
            wanted.policy,
            self.report.weight_bytes_before,
            self.report.weight_bytes_after,
        )

    def _choose(self) -> None:
        tried = candidates(
            self._config.precision,
            precision.layers_of(self.modules),
            precision.groups_of(self._loaded.api, self.modules),
        )
        choice = choose(tried, self._try, memory_limit_bytes=self._memory_bytes())
        for sentence in choice.rejected:
            _LOG.info("event=candidate_rejected %s", sentence)
        if choice.config is None:
            raise PrecisionError(f"{choice.sentence} {' '.join(choice.rejected)}")
        self.why = " ".join([choice.sentence, *choice.rejected])

    def _try(self, wanted: PrecisionConfig) -> Trial:
        """Each on a model set up anew; the last one tried is the one that is taken, and stays."""
        self._reload()
        self.modules = precision.modules_of(self._loaded.api)
        self.report = None
        if wanted.policy == "fp32":
            self.precision = wanted
            return Trial(passed=True, needed_bytes=self._needed_bytes())
        self._apply(wanted)
        verdict = self.gate.judge(wanted, _NOT_COMPILED)
        if verdict is None:
            return Trial(passed=True, needed_bytes=self._needed_bytes())
        return Trial(passed=verdict.passed, needed_bytes=self._needed_bytes(), reasons=verdict.failures)

    def _needed_bytes(self) -> int:
        if not self.gate.calls:
            return self.weight_bytes
        call = self.gate.calls[0]
        return self.weight_bytes + measured_peak(self._loaded.device, 1, lambda: self._loaded.compute(call))

    def _memory_bytes(self) -> int:
        if self._loaded.device.startswith("cuda"):
            return int(torch.cuda.mem_get_info(self._loaded.device)[0]) + self.weight_bytes
        return free_bytes() + self.weight_bytes


def _verdicts(config: CacheConfig) -> quality.VerdictStore:
    secret = read_secret(config)
    if not secret.refusal:
        return quality.VerdictStore(Path(config.directory) / _VERDICTS, secret=secret.value)
    if config.directory:
        _LOG.warning("event=verdicts_not_kept reason=%r", secret.refusal)
    private = tempfile.mkdtemp(prefix="atheria-verdicts-")
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return quality.VerdictStore(Path(private))


def _default_shapes(api: Any) -> tuple[tuple[int, ...], ...]:
    own = getattr(api, "default_shapes", None)
    return tuple(tuple(shape) for shape in own()) if callable(own) else ()
