"""What a pod says it did to its model (names.PATH_OPTIMIZATION) as parts of the status.

The answer comes from a process that runs the user's code: what has the wrong type is left out, and everything is bounded,
so that no answer can make a status that the API server refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MAX_ENTRIES: Final = 64
_MAX_FIGURES: Final = 32
_MAX_TEXT: Final = 1024
_MAX_NAME: Final = 128
_REASON: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_LARGEST: Final = 2**63 - 1
_DIRECTIONS: Final = ("higher", "lower")
_OUTCOMES: Final = ("passed", "failed", "not gated", "within noise")

START: Final = "start of the server"
"""In Parts, beside fields of the status: what is shown within status.coldStart."""
Parts = Mapping[str, Any]
"""Fields of AtheriaModel's status: quality, precision, compileCache, kvCache, warmup, steadiness, evaluation; those that were told. And START."""


def read_report(answer: Any, *, revision: str, pod: str) -> Parts:
    """The parts of the status; `revision` and `pod` are the names of whose they are."""
    told = _object(answer)
    of = {"revision": revision, "pod": pod}
    parts = {
        "quality": _quality(_object(told.get("quality"))),
        "precision": _precision(_object(told.get("precision")), told.get("weight_bytes")),
        "compileCache": _compile(_object(told.get("compile"))),
        "kvCache": _kv_cache(_object(told.get("kv_cache"))),
        "steadiness": _steadiness(_object(told.get("steadiness"))),
    }
    found: dict[str, Any] = {name: {**of, **part} for name, part in parts.items() if part}
    if warm := [bucket for one in _list(told.get("warm")) if (bucket := _bucket(_object(one)))]:
        found["warmup"] = warm
    if figures := _figures(_object(told.get("evaluation"))):
        found["evaluation"] = figures
    if start := _start(_object(told.get("start_seconds"))):
        found[START] = start
    return found


def _start(told: Mapping[str, Any]) -> dict[str, Any]:
    return _told(
        importSeconds=_seconds(told.get("import")),
        loadSeconds=_seconds(told.get("setup")),
        warmupSeconds=_seconds(told.get("warmup")),
    )


def _quality(told: Mapping[str, Any]) -> dict[str, Any]:
    passed = told.get("passed")
    part = _told(
        passed=passed if isinstance(passed, bool) else None,
        profile=_text(told.get("profile")),
        reason=_word(told.get("reason")),
        message=_text(told.get("message")),
    )
    # By name: in the status they are a map.
    metrics = {
        one["name"]: one for given in _list(told.get("measurements")) if (one := _metric(_object(given)))
    }
    return {**part, "metrics": list(metrics.values())} if metrics else part


def _metric(told: Mapping[str, Any]) -> dict[str, Any] | None:
    name, value = _text(told.get("name"), _MAX_NAME), _number(told.get("value"))
    if not name or value is None:
        return None
    better, outcome = told.get("better"), told.get("outcome")
    return {
        "name": name,
        "value": value,
        **_told(
            limit=_number(told.get("limit")),
            better=better if better in _DIRECTIONS else None,
            outcome=outcome if outcome in _OUTCOMES else None,
        ),
    }


def _precision(told: Mapping[str, Any], weight_bytes: Any) -> dict[str, Any]:
    return _told(
        chosen=_text(told.get("policy")), why=_text(told.get("why")), weightBytes=_count(weight_bytes)
    )


def _compile(told: Mapping[str, Any]) -> dict[str, Any]:
    return _told(
        mode=_text(told.get("mode")),
        result=_text(told.get("cache")),
        why=_text(told.get("why")),
        graphs=_count(told.get("graphs")),
        seconds=_seconds(told.get("seconds")),
        savedSeconds=_seconds(told.get("saved_seconds")),
    )


def _kv_cache(told: Mapping[str, Any]) -> dict[str, Any]:
    stepped_back = told.get("stepped_back")
    return _told(
        wanted=_text(told.get("wanted")),
        precision=_text(told.get("precision")),
        recentWindow=_count(told.get("recent_window")),
        comparedTokens=_count(told.get("positions")),
        agreement=_number(told.get("agreement")),
        leastAgreement=_number(told.get("least_agreement")),
        divergence=_number(told.get("divergence")),
        mostDivergence=_number(told.get("most_divergence")),
        steppedBack=stepped_back if isinstance(stepped_back, bool) else None,
        why=_text(told.get("why")),
    )


def _steadiness(told: Mapping[str, Any]) -> dict[str, Any]:
    passed = told.get("passed")
    if not isinstance(passed, bool):
        return {}
    return {
        "passed": passed,
        **_told(ratio=_seconds(told.get("ratio")), bucket=_text(told.get("bucket"), _MAX_NAME)),
    }


def _bucket(told: Mapping[str, Any]) -> dict[str, Any] | None:
    shape, rows = told.get("shape"), _count(told.get("rows"))
    name = _text(shape, _MAX_NAME)
    if isinstance(shape, list) and all(_count(size) is not None for size in shape):
        name = "x".join(str(size) for size in shape[:16]) or "default"
    if not name or rows is None:
        return None
    return {
        "shape": name[:_MAX_NAME],
        "rows": rows,
        **_told(
            compileSeconds=_seconds(told.get("compile_seconds")), runSeconds=_seconds(told.get("run_seconds"))
        ),
    }


def _figures(told: Mapping[str, Any]) -> dict[str, Any]:
    """Figures and words; what is deeper is in the report itself."""
    found: dict[str, Any] = {}
    for name, value in list(told.items())[:_MAX_FIGURES]:
        figure = value if isinstance(value, bool) else _number(value)
        kept = _text(value) if figure is None else figure
        if kept is not None:
            found[str(name)[:_MAX_NAME]] = kept
    return found


def _told(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value[:MAX_ENTRIES] if isinstance(value, list) else []


def _text(value: Any, longest: int = _MAX_TEXT) -> str | None:
    return value[:longest] if isinstance(value, str) and value else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and _REASON.fullmatch(value) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Integers of any length are legal JSON, NaN is not but is read; neither fits a status. Six digits are for people.
    return float(f"{value:.6g}") if abs(value) <= _LARGEST else None


def _seconds(value: Any) -> float | None:
    number = _number(value)
    return round(number, 3) if number is not None and number >= 0 else None


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    return value if is_count else None
