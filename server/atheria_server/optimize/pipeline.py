"""From a loaded model to one that is as cheap as the settings ask for, proved, compiled and warm. Run by `engine.setup`.

baseline's answers -> precision -> verdict -> compiled functions -> every bucket once -> verdict -> hooks -> publish.
A model that nothing is asked for passes through as it is written, and without importing torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from atheria_contract.serving import ServingConfig
from atheria_server.engine.phases import Phase, Progress
from atheria_server.models.contract import CacheKeeping, WarmupCall, is_continuous
from atheria_server.optimize import report
from atheria_server.optimize.compiled import Compiled
from atheria_server.optimize.evaluations import kept_evaluation, warn_of_loss
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.requests import parse_requests
from atheria_server.optimize.user_hooks import run_hooks

if TYPE_CHECKING:
    from atheria_server.optimize.variant import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the pipeline made."""

    report: Mapping[str, Any]
    """See `optimize.report`."""
    compiled: Compiled | None = None
    """The compiled functions, where there are any."""


def prepare(
    loaded: LoadedModel, config: ServingConfig, *, reload: Callable[[], None], progress: Progress
) -> Prepared:
    """Make `loaded` what `config` asks for, in place; `reload` sets its LitAPIs up anew. Raises ModelRefusedError."""
    requests = parse_requests(config.warmup.requests)
    evaluation = kept_evaluation(config)
    warn_of_loss(evaluation)
    if config.precision.policy == "fp32" and config.compile.mode == "off":
        _warm_requests(loaded, requests, progress)
        _run_hooks(loaded, config, progress)
        return Prepared(
            report=report.baseline_report(
                config, _counted(loaded.api), evaluation, kv_cache=_kv_cache(loaded.api)
            )
        )
    from atheria_server.optimize.variant import Variant

    variant = Variant(loaded, config, requests=requests, reload=reload, progress=progress)
    variant.gate.remember_baseline()
    variant.narrow()
    section = variant.judge_precision() if variant.report else report.baseline_section(config)
    compiled: Compiled | None = None
    warm: Sequence[Mapping[str, Any]] = ()
    if config.compile.mode == "off":
        _warm_requests(loaded, requests, progress)
        _run_hooks(loaded, config, progress)
    else:
        compiled = Compiled(loaded, config, variant, progress=progress)
        with closing(compiled):
            warm = compiled.warm_up(requests)
            section = variant.gate.accept(variant.gate.judge(variant.precision, compiled.mode))
            _run_hooks(loaded, config, progress)
            compiled.finish()
    return Prepared(
        report=report.build_report(
            policy=variant.precision.policy,
            why=variant.why,
            weight_bytes=variant.weight_bytes,
            quality=section,
            compiled=compiled.section() if compiled else report.compile_section(report.OFF),
            layers=_layers(variant),
            warm=warm,
            steadiness=asdict(compiled.steadiness) if compiled else None,
            notes=variant.report.notes if variant.report else (),
            evaluation=evaluation,
            kv_cache=_kv_cache(loaded.api),
        ),
        compiled=compiled,
    )


def _warm_requests(loaded: LoadedModel, requests: Sequence[WarmupCall], progress: Progress) -> None:
    for index, request in enumerate(requests):
        progress(Phase(name="computing sample requests", done=index, total=len(requests)))
        loaded.compute(request)


def _run_hooks(loaded: LoadedModel, config: ServingConfig, progress: Progress) -> None:
    seconds = config.warmup.hook_timeout_seconds
    run_hooks(loaded.api, config.warmup.hooks, timeout_seconds=seconds, progress=progress)


def _counted(api: Any) -> int | None:
    """Bytes of the networks' weights; None for a model without torch."""
    if "torch" not in sys.modules:
        return None
    from atheria_server.optimize.precision.counted import weight_bytes
    from atheria_server.optimize.precision.networks import modules_of

    return weight_bytes(modules_of(api))


def _kv_cache(api: Any) -> Mapping[str, Any] | None:
    """Of a model that keeps keys and values. Raises ModelRefusedError where the device cannot do what is asked for."""
    if not (is_continuous(api) and isinstance(api, CacheKeeping)):
        return None
    api.check_device()
    return api.cache_report()


def _layers(variant: Variant) -> list[dict[str, Any]]:
    if variant.report is None:
        return []
    kept = ("name", "precision", "bytes_before", "bytes_after")
    return [{key: asdict(layer)[key] for key in kept} for layer in variant.report.layers]
