"""The validation report of a variant: one line for each check, with its limit and what came of it. Pure.

Filled by `optimize.evaluation`; its summary is small enough for a status field of a Kubernetes object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

Result = Literal["pass", "fail", "n/a", "told"]
SUMMARY_BYTES: Final = 1000
_MORE: Final = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check."""

    name: str
    value: float | None
    """None = not measurable here; `note` says why."""
    unit: str = ""
    limit: float | None = None
    better: Literal["higher", "lower"] = "lower"
    result: Result
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """All checks of one variant."""

    subject: str
    """What was measured: source, precision, compilation, device."""
    lines: tuple[Line, ...]
    figures: Mapping[str, float | str | None]
    """What the summary tells beside the verdict."""

    @property
    def passed(self) -> bool:
        """Whether no line fails; what is not measurable does not count as passed or failed."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """Names of the lines that fail."""
        return [line.name for line in self.lines if line.result == "fail"]

    def to_json(self) -> dict[str, Any]:
        """Everything; numbers that are not finite are None."""
        lines = [asdict(line) for line in self.lines]
        for line in lines:
            line["value"], line["limit"] = _finite(line["value"]), _finite(line["limit"])
        return {
            "subject": self.subject,
            "passed": self.passed,
            "lines": lines,
            "summary": json.loads(self.summary()),
        }

    def summary(self) -> str:
        """At most SUMMARY_BYTES of JSON: passed, counts, names of what failed, figures; the last ones go first."""
        counts = {
            result: sum(line.result == result for line in self.lines) for result in ("pass", "fail", "n/a")
        }
        failed, figures = self.failed, dict(self.figures)
        while True:
            text = json.dumps(
                {"passed": self.passed, "counts": counts, "failed": failed, **figures},
                separators=(",", ":"),
            )
            if len(text.encode()) <= SUMMARY_BYTES:
                return text
            if figures:
                figures.popitem()
            else:
                failed = [*[name for name in failed if name != _MORE][:-1], _MORE]

    def markdown(self) -> str:
        """One table."""
        return "\n".join(
            [
                f"# Validation of {self.subject}",
                "",
                f"**{'passed' if self.passed else 'failed: ' + ', '.join(self.failed)}**",
                "",
                "| check | value | limit | result | |",
                "|---|---|---|---|---|",
                *(
                    f"| {line.name} | {value_text(line)} | {_limit_text(line)} | {line.result} | {line.note} |"
                    for line in self.lines
                ),
                "",
            ]
        )


def checked(
    name: str,
    value: float,
    limit: float | None,
    *,
    better: Literal["higher", "lower"] = "lower",
    unit: str = "",
    note: str = "",
) -> Line:
    """A line with its result: `told` without a limit; a value that is not a number fails."""
    result: Result = "told"
    if limit is not None:
        result = "pass" if (value >= limit if better == "higher" else value <= limit) else "fail"
    return Line(name=name, value=value, unit=unit, limit=limit, better=better, result=result, note=note)


def not_measurable(name: str, reason: str, *, unit: str = "") -> Line:
    """A line for what this machine cannot tell."""
    return Line(name=name, value=None, unit=unit, result="n/a", note=reason)


def value_text(line: Line) -> str:
    """The value with its unit, rounded for people."""
    if line.value is None:
        return "-"
    return f"{_number(line.value)} {line.unit}".strip()


def lines_of_quality(
    measurements: Sequence[Mapping[str, Any]], *, passed: bool | None, message: str
) -> list[Line]:
    """From the quality section of `optimize.report`: name, value and limit of each measurement, None = told only.

    A value beyond its limit in a variant that passed is within its noise: the gate has judged it, not this table.
    """
    lines = []
    for one in measurements:
        value, limit = _as_float(one["value"]), one["limit"]
        higher = one.get("better", "higher" if one["name"].startswith("F_") else "lower") == "higher"
        line = checked(
            f"quality {one['name']}",
            value,
            None if limit is None else _as_float(limit),
            better="higher" if higher else "lower",
        )
        if line.result == "fail" and passed:
            line = replace(line, result="pass", note="within its noise")
        lines.append(line)
    if not lines and passed is not False:
        return [not_measurable("quality", message or "nothing was compared")]
    if passed is False and not any(line.result == "fail" for line in lines):
        lines.append(Line(name="quality", value=None, result="fail", note=message))
    return lines


def _limit_text(line: Line) -> str:
    if line.limit is None:
        return "-"
    return f"{'≥' if line.better == 'higher' else '≤'} {_number(line.limit)} {line.unit}".strip()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _as_float(value: object) -> float:
    return float(value) if isinstance(value, int | float | str) else math.nan
