"""`atheria-server profile SOURCE`: where the time of a call goes, and what to do about it first.

Changes nothing: stages of a call, operations by torch.profiler, t(B), and the bottleneck in one sentence.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from atheria_contract.serving import ServingConfigError
from atheria_server.core.errors import CallError
from atheria_server.engine.resources import visible_devices
from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.served import SourceError
from atheria_server.optimize.evaluation.request_options import (
    add_request_options,
    quiet_profiler,
    request_parameters,
)
from atheria_server.settings import parse_arguments


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="atheria-server profile",
        description="Show where the time of a model's call goes. Options of `serve` choose the model and its settings.",
    )
    add_request_options(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="t(B) as SVG; needs the extra report")
    options, rest = parser.parse_known_args(arguments)
    quiet_profiler()
    try:
        config = parse_arguments(["serve", *rest])
        from atheria_server.optimize.loaded import load_model
        from atheria_server.optimize.profiling import plots
        from atheria_server.optimize.profiling.report import markdown, profile_model

        loaded = load_model(
            config.source, config.parameters, digest=config.digest, device=visible_devices()[0]
        )
        found = profile_model(
            loaded,
            source=config.source,
            shape=config.warmup_shapes[0] if config.warmup_shapes else (),
            parameters=request_parameters(options),
            row_sizes=options.rows,
            rounds=options.rounds,
            clock=options.clock,
        )
    except (ServingConfigError, SourceError, InvalidRequestError, CallError, ValueError) as error:
        sys.stderr.write(f"atheria-server: error: {error}\n")
        return 1
    text = json.dumps(found.to_json(), indent=2) if options.output == "json" else markdown(found)
    sys.stdout.write(text + "\n")
    if options.plot:
        try:
            plots.plot_batch_time(
                options.plot, found.points, found.batch_time, f"{config.source} on {found.device}"
            )
        except plots.PlotError as error:
            sys.stderr.write(f"{error}\n")
    return 0
