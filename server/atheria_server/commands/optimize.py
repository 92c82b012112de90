"""`atheria-server optimize SOURCE`: what each precision policy makes of a model, in bytes and in answers.

Changes nothing that is served: it takes the steps of a start of the server and prints what came of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from atheria_contract.serving import ServingConfigError
from atheria_server.core.errors import CallError, ModelRefusedError
from atheria_server.engine.phases import Phase
from atheria_server.engine.resources import visible_devices
from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.served import SourceError
from atheria_server.settings import parse_arguments

_WRONG = (ServingConfigError, SourceError, ModelRefusedError, InvalidRequestError, CallError)


class _Progress:
    """A line on stderr for each phase, with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, phase: Phase) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._began:6.1f} s] {phase.text}\n")
        sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    """0 = every policy may be served; 1 with the reason in the output, or in one line on stderr."""
    options, rest = _parser().parse_known_args(arguments)
    progress = _Progress()
    try:
        configs = [parse_arguments(["serve", *rest, "--precision", one]) for one in _policies(options)]
        from atheria_server.optimize.precision import tables, trials

        device = visible_devices()[0]
        if options.compare_calibration:
            tried = trials.try_calibrations(configs[0], device, progress)
            text = tables.calibrations_text(tried)
        else:
            tried = [trials.try_policy(config, device, progress) for config in configs]
            text = tables.policies_text(tried)
    except _WRONG as error:
        sys.stderr.write(f"atheria-server: error: {error}\n")
        return 1
    if options.output == "json":
        text = json.dumps(
            {"source": configs[0].source, "device": device, "tried": [one.to_json() for one in tried]},
            indent=2,
        )
    sys.stdout.write(text + "\n")
    return 0 if options.compare_calibration or all(one.passed for one in tried) else 1


def _policies(options: argparse.Namespace) -> Sequence[str]:
    if options.precision:
        return tuple(options.precision)
    return ("int8",) if options.compare_calibration else ("auto",)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atheria-server optimize",
        description="Keep a model's weights in fewer bytes and judge what is left of its answers. Options of `serve` "
        "choose the model, its groups and the quality gate.",
    )
    parser.add_argument(
        "--precision",
        action="append",
        metavar="POLICY",
        help="policy to try; repeatable (default auto, which takes the cheapest that passes)",
    )
    parser.add_argument(
        "--compare-calibration",
        action="store_true",
        help="try the policy (default int8) with every way to find the range of activations",
    )
    parser.add_argument("--output", choices=("markdown", "json"), default="markdown")
    return parser
