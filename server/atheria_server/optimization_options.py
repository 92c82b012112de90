"""The options of the command line that become the sections of `atheria_contract.optimization`, and their bounds.

Used by `settings`, and by the commands that work on a variant of a model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from atheria_contract import optimization as known
from atheria_contract.serving import ServingConfig, ServingConfigError

ENSEMBLE_MIN: Final = 2
ENSEMBLE_MAX: Final = 4096


def add_optimization_options(parser: argparse.ArgumentParser) -> None:
    """Precision, compilation, warm-up, quality, cache."""
    group = parser.add_argument_group("optimization (docs/optimization)")
    group.add_argument("--precision", metavar="POLICY", help=f"{', '.join(known.POLICIES)} (default fp32)")
    group.add_argument(
        "--group-precision",
        action="append",
        metavar="GROUP=PRECISION",
        help="for hierarchy: encoder, backbone or head as one of "
        f"{', '.join(known.PRECISIONS)}; repeatable (default encoder=int8 backbone=nf4 head=bf16)",
    )
    group.add_argument("--compute", metavar="TYPE", help=f"activations: {', '.join(known.COMPUTE_TYPES)}")
    group.add_argument(
        "--keep-fp32", action="append", metavar="PATTERN", help="modules that stay as they are; repeatable"
    )
    group.add_argument("--calibration", metavar="METHOD", help=", ".join(known.CALIBRATIONS))
    group.add_argument("--compile", metavar="MODE", help=f"{', '.join(known.COMPILE_MODES)} (default off)")
    group.add_argument(
        "--row-buckets", metavar="N,N,...", help="batch sizes that are compiled (default: powers of two)"
    )
    group.add_argument(
        "--on-miss", metavar="WHAT", help="layouts that were not warmed up: eager or refuse (default eager)"
    )
    group.add_argument(
        "--warmup-request",
        action="append",
        metavar="FILE",
        help="JSON body of REST's infer, computed before ready; repeatable",
    )
    group.add_argument(
        "--warmup-hook",
        action="append",
        metavar="MODULE:FUNCTION",
        help="called with the LitAPI before ready; repeatable",
    )
    group.add_argument(
        "--quality", metavar="PROFILE", help=f"{', '.join(known.QUALITY_PROFILES)} (default default)"
    )
    group.add_argument(
        "--quality-limit", action="append", metavar="METRIC=LIMIT", help="over the profile's; repeatable"
    )
    group.add_argument(
        "--quality-metric", metavar="MODULE:FUNCTION", help="compares outputs instead of the model's own"
    )
    group.add_argument(
        "--allow-unvalidated",
        action="store_true",
        default=None,
        help="serve a variant that failed its gate or was not judged",
    )
    group.add_argument("--cache", metavar="FOLDER", help="for verdicts, compiled code and downloads")
    group.add_argument("--cache-key", metavar="FILE", help="secret that signs what is published there")
    group.add_argument(
        "--cache-shared", action="store_true", default=None, help="others write to that folder, too"
    )


def with_optimization(config: ServingConfig, options: argparse.Namespace) -> ServingConfig:
    """The same with what the options of `add_optimization_options` say. Raises ServingConfigError."""
    groups = dict(_pair("--group-precision", text) for text in options.group_precision or ())
    if unknown := sorted(set(groups) - {"encoder", "backbone", "head"}):
        raise ServingConfigError(
            f"--group-precision names group {unknown[0]!r}; allowed: encoder, backbone, head"
        )
    limits = {k: _number("--quality-limit", v) for k, v in map(_limit, options.quality_limit or ())}
    calibration = _changed(config.precision.calibration, method=options.calibration)
    return replace(
        config,
        precision=_changed(
            config.precision,
            policy=options.precision,
            compute=options.compute,
            keep_fp32=tuple(options.keep_fp32) if options.keep_fp32 else None,
            calibration=calibration,
            **groups,
        ),
        compile=_changed(
            config.compile,
            mode=options.compile,
            on_miss=options.on_miss,
            row_buckets=_sizes(options.row_buckets) if options.row_buckets else None,
        ),
        warmup=_changed(
            config.warmup,
            requests=tuple(map(_file, options.warmup_request)) if options.warmup_request else None,
            hooks=tuple(options.warmup_hook) if options.warmup_hook else None,
        ),
        quality=_changed(
            config.quality,
            profile=options.quality,
            metric=options.quality_metric,
            limits={**config.quality.limits, **limits} if limits else None,
            allow_unvalidated=options.allow_unvalidated,
        ),
        cache=_changed(
            config.cache,
            directory=options.cache,
            key_file=options.cache_key,
            is_shared=options.cache_shared,
        ),
    )


def check_optimization(config: ServingConfig) -> None:
    """Words and bounds. Raises ServingConfigError."""
    precision, compiled, quality = config.precision, config.compile, config.quality
    for key, value, allowed in (
        ("precision.policy", precision.policy, known.POLICIES),
        ("precision.encoder", precision.encoder, known.PRECISIONS),
        ("precision.backbone", precision.backbone, known.PRECISIONS),
        ("precision.head", precision.head, known.PRECISIONS),
        ("precision.compute", precision.compute, known.COMPUTE_TYPES),
        ("precision.calibration.method", precision.calibration.method, known.CALIBRATIONS),
        ("compile.mode", compiled.mode, known.COMPILE_MODES),
        ("compile.on_miss", compiled.on_miss, known.ON_MISS),
        ("quality.profile", quality.profile, known.QUALITY_PROFILES),
    ):
        if value not in allowed:
            raise ServingConfigError(f"{key} is {value!r}; allowed: {', '.join(allowed)}")
    for key, number, low, high in (
        ("quality.ensemble", quality.ensemble, ENSEMBLE_MIN, ENSEMBLE_MAX),
        ("precision.calibration.samples", precision.calibration.samples, 1, ENSEMBLE_MAX),
        ("compile.wait_seconds", compiled.wait_seconds, 0, 3600),
        ("warmup.hook_timeout_seconds", config.warmup.hook_timeout_seconds, 0.1, 3600),
    ):
        if not low <= number <= high:
            raise ServingConfigError(f"{key} is {number!r}; expected {low:g} to {high:g}")
    if any(not 1 <= rows <= config.max_batch_size for rows in compiled.row_buckets):
        raise ServingConfigError(
            f"compile.row_buckets is {list(compiled.row_buckets)!r}; expected sizes from 1 to max_batch_size "
            f"{config.max_batch_size}"
        )
    if quality.profile == "off" and not quality.allow_unvalidated:
        raise ServingConfigError(
            "quality.profile is 'off' and quality.allow_unvalidated is false, so no variant could be served; "
            "set allow_unvalidated, or a profile"
        )


def _changed(section: Any, **values: Any) -> Any:
    return replace(section, **{key: value for key, value in values.items() if value is not None})


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ServingConfigError(f"{option} {text!r}: expected NAME=VALUE")
    return key, value


def _limit(text: str) -> tuple[str, str]:
    return _pair("--quality-limit", text)


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ServingConfigError(f"{option} {text!r}: expected a number") from error


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError as error:
        raise ServingConfigError(f"--row-buckets {text!r}: expected whole numbers such as 1,2,4,8") from error


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServingConfigError(f"--warmup-request {path} cannot be read: {error}") from error
