"""`compile.mode: auto`: measure the model as it is written and compiled, on this device, and take what is faster per row.

The choice is kept beside the compiled code, so a start with a cache measures nothing. Called by the pipeline.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from atheria_contract.optimization import CompileConfig
from atheria_server.core.mode_choice import OFF, ModeChoice, choose
from atheria_server.models.optimizable import Compile
from atheria_server.optimize.compiling.bucket_compiler import BucketCompiler
from atheria_server.optimize.compiling.errors import CompileUnavailableError
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.warm_up import warm

_LOG = logging.getLogger("atheria.compile")
FILE: Final = "choice.json"


def choose_mode(
    loaded: LoadedModel,
    config: CompileConfig,
    *,
    attach: Callable[[Compile], None],
    shapes: Sequence[tuple[int, ...]],
    row_buckets: Sequence[int],
    directory: Path,
    clock: Callable[[], float],
    progress: Callable[[int, int, str], None] = lambda _done, _total, _detail: None,
) -> ModeChoice:
    """What `auto` comes to for a described model. `attach` gives it a compiler, any number of times.

    `directory` is CompileCache's, inside its `with`: what is compiled for measuring is used again for serving. Raises
    CompileError and what computing raises.
    """
    kept = directory / FILE
    if kept.exists():
        return ModeChoice(**json.loads(kept.read_text()))
    modes = ["default", "reduce-overhead"] if loaded.device.startswith("cuda") else ["default"]
    seconds = {OFF: _seconds(loaded, shapes, row_buckets, clock, progress)}
    unavailable = []
    for mode in modes:
        try:
            attach(BucketCompiler(replace(config, mode=mode), loaded.device))
        except CompileUnavailableError as error:
            unavailable.append(str(error))
            continue
        seconds[mode] = _seconds(loaded, shapes, row_buckets, clock, progress)
    choice = choose(seconds, unavailable)
    kept.write_text(json.dumps(asdict(choice)))
    _LOG.info("event=compile_mode_chosen mode=%s why=%r", choice.mode, choice.why)
    return choice


def _seconds(
    loaded: LoadedModel,
    shapes: Sequence[tuple[int, ...]],
    row_buckets: Sequence[int],
    clock: Callable[[], float],
    progress: Callable[[int, int, str], None],
) -> dict[int, float]:
    """By rows, of all shapes together."""
    found = dict.fromkeys(row_buckets, 0.0)
    for one in warm(loaded, shapes, row_buckets, clock=clock, progress=progress):
        found[one.rows] += one.run_seconds
    return found
