"""From a loaded model to one that is as cheap as the settings ask for, proved, compiled and warm. Run by `engine.setup`.

baseline answers -> precision -> compiled functions -> every bucket once -> the variant's answers -> verdict -> publish.
A model that nothing is asked for passes through untouched, and without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atheria_contract.serving import ServingConfig
from atheria_server.engine.phases import Phase, Progress
from atheria_server.optimize import report
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.requests import parse_requests
from atheria_server.optimize.user_hooks import run_hooks


class Compiled:
    """placeholder"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the pipeline made."""

    report: Mapping[str, Any]
    compiled: Compiled | None = None


def prepare(
    loaded: LoadedModel, config: ServingConfig, *, reload: Callable[[], None], progress: Progress
) -> Prepared:
    """Make `loaded` what `config` asks for, in place; `reload` sets its LitAPIs up anew. Raises ModelRefusedError."""
    requests = parse_requests(config.warmup.requests)
    for index, request in enumerate(requests):
        progress(Phase(name="warming up", done=index, total=len(requests), detail="sample requests"))
        loaded.compute(request)
    run_hooks(
        loaded.api,
        config.warmup.hooks,
        timeout_seconds=config.warmup.hook_timeout_seconds,
        progress=progress,
    )
    return Prepared(report=report.baseline_report(config, None))
