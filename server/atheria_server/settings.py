"""The command line of `atheria-server`, parsed into a ServingConfig. Light: imported before anything heavy."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_contract.serving import ServingConfig, ServingConfigError, parse_serving_config
from atheria_server.optimization_options import (
    add_optimization_options,
    check_optimization,
    with_optimization,
)

COMMANDS: Final = {
    "optimize": "make a model's weights smaller and judge what is left of it",
    "evaluate": "measure a variant against its baseline: quality, speed, memory, cost",
    "profile": "find out what a model spends its time on",
    "train": "train the law M of the qca model",
    "economics": "what an inference costs, measured here and modelled elsewhere",
}
"""Of `commands`, beside `serve`; each parses its own arguments."""
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PARAMETER: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)


def parse_arguments(arguments: Sequence[str]) -> ServingConfig:
    """The configuration. Raises ServingConfigError; `--help` and unknown options end the process as usual."""
    options = _parser().parse_args(arguments)
    given = {key: value for key, value in vars(options).items() if value is not None and key in _FIELDS}
    if options.set:
        given["parameters"] = dict(_parameter(text) for text in options.set)
    if options.warmup_shape:
        given["warmup_shapes"] = tuple(_shape(text) for text in options.warmup_shape)
    for key in ("max_latency_seconds", "drain_delay_seconds", "drain_timeout_seconds"):
        if key in given:
            given[key] = parse_duration(given[key])
    if options.config is not None:
        if options.source is not None:
            raise ServingConfigError("give SOURCE or --config FILE, not both")
        config = read_config(options.config)
    elif options.source is None:
        raise ServingConfigError("no model: give SOURCE (such as builtin://qca) or --config FILE")
    else:
        config = ServingConfig(source=options.source, name=_default_name(options.source))
    return check(with_optimization(replace(config, **given), options))


def read_config(path: str) -> ServingConfig:
    """The file that the operator wrote. Raises ServingConfigError naming it."""
    try:
        return parse_serving_config(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ServingConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ServingConfigError(f"{path} is not UTF-8: {error}") from error
    except ServingConfigError as error:
        raise ServingConfigError(f"{path}: {error}") from error


def check(config: ServingConfig) -> ServingConfig:
    """The same, if every number is within its bounds. Raises ServingConfigError."""
    for key, low, high in _BOUNDS:
        if not low <= getattr(config, key) <= high:
            raise ServingConfigError(f"{key} is {getattr(config, key)!r}; expected {low:g} to {high:g}")
    if config.grpc_port == config.http_port != 0:
        raise ServingConfigError(f"grpc_port and http_port are both {config.grpc_port}; give two ports")
    if any(n < 1 for shape in config.warmup_shapes for n in shape):
        raise ServingConfigError(
            f"warmup_shapes is {config.warmup_shapes!r}; expected dimensions of 1 or more"
        )
    check_optimization(config)
    return config


def parse_duration(text: str) -> float:
    """Seconds of a text such as `50ms`, `1.5s` or `0`. Raises ServingConfigError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if found is None and text != "0":
        raise ServingConfigError(f"duration is {text!r}; expected a number and ms, s, m or h, such as 50ms")
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


_BOUNDS: Final = (
    ("grpc_port", 0, 65535),
    ("http_port", 0, 65535),
    ("max_batch_size", 1, 1024),
    ("max_latency_seconds", 0, 60),
    ("max_queue_depth", 1, 1_000_000),
    ("workers", 1, 16),
    ("max_message_bytes", 1024, 2**31 - 2**20),
    ("drain_delay_seconds", 0, 3600),
    ("drain_timeout_seconds", 0, 86400),
)
_FIELDS: Final = {
    "name",
    "digest",
    "host",
    "grpc_port",
    "http_port",
    "max_batch_size",
    "max_latency_seconds",
    "max_queue_depth",
    "workers",
    "idempotent",
    "max_message_bytes",
    "drain_delay_seconds",
    "drain_timeout_seconds",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atheria-server", description="Serve a LitAPI over the Open Inference Protocol (gRPC and REST)."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    serve = commands.add_parser("serve", help="serve one model")
    serve.add_argument(
        "source",
        nargs="?",
        help="builtin://NAME, python://package.module:LitAPIClass, or files: file://, pvc://, oci://, hf://, s3://, gs://, https://",
    )
    serve.add_argument("--config", metavar="FILE", help="the configuration as JSON, instead of SOURCE")
    serve.add_argument("--name", help="name that callers use (default: the source's last part)")
    serve.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="parameter of the model; repeatable"
    )
    serve.add_argument("--digest", help="sha256:<hex> that the weights must have")
    serve.add_argument("--host", help="address to listen on (default 0.0.0.0)")
    serve.add_argument("--grpc-port", type=int, help=f"default {names.PORT_GRPC}; 0 = any free one")
    serve.add_argument("--http-port", type=int, help=f"default {names.PORT_HTTP}; 0 = any free one")
    serve.add_argument("--max-batch-size", type=int, help="rows computed together at most (default 8)")
    serve.add_argument(
        "--max-latency",
        dest="max_latency_seconds",
        metavar="DURATION",
        help="longest wait for a fuller batch while the worker is busy (default 50ms)",
    )
    serve.add_argument("--max-queue-depth", type=int, help="rows that may wait (default 512)")
    serve.add_argument("--workers", type=int, help="processes that hold the model, per device (default 1)")
    serve.add_argument(
        "--idempotent",
        action="store_true",
        default=None,
        help="calls may be computed twice: if a worker dies, compute its calls again, once",
    )
    serve.add_argument("--max-message-bytes", type=int, help="largest request or answer (default 64 MiB)")
    serve.add_argument(
        "--warmup-shape", action="append", metavar="N,N,...", help="shape of one row to warm up; repeatable"
    )
    add_optimization_options(serve)
    serve.add_argument(
        "--drain-delay",
        dest="drain_delay_seconds",
        metavar="DURATION",
        help="after SIGTERM: still accept calls this long (default 3s)",
    )
    serve.add_argument(
        "--drain-timeout",
        dest="drain_timeout_seconds",
        metavar="DURATION",
        help="then: time for accepted calls to finish (default 20s)",
    )
    return parser


def _parameter(text: str) -> tuple[str, Any]:
    """`KEY=VALUE`: numbers and booleans as JSON writes them, everything else is text."""
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise ServingConfigError(f"--set {text!r}: expected KEY=VALUE")
    try:
        value = json.loads(found[2])
    except ValueError:
        value = found[2]
    return found[1], value if isinstance(value, str | int | float | bool) else found[2]


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ServingConfigError(
            f"--warmup-shape {text!r}: expected whole numbers such as 16,64,64"
        ) from error


def _default_name(source: str) -> str:
    """The last part: `builtin://qca` is qca, `python://package.module:Api` is api, `file:///models/net.pt2` is net."""
    last = re.split(r"[/:]", source.rstrip("/"))[-1]
    if not source.startswith("python:"):
        return last.partition(".")[0].lower() or source
    return last.rpartition(".")[2].lower() or source
