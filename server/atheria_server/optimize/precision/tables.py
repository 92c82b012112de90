"""What `atheria-server optimize` prints: Markdown tables of tried policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from atheria_server.core.quality_gate import Judged, Verdict
from atheria_server.optimize.precision.trials import Tried


def policies_text(tried: Sequence[Tried]) -> str:
    """A section for each policy; of several, a table of all at the end."""
    lines: list[str] = []
    for one in tried:
        lines += [*_section(one), ""]
    if len(tried) > 1:
        lines += ["## Policies", "", *_summary(tried)]
    return "\n".join(lines).rstrip()


def calibrations_text(tried: Sequence[Tried]) -> str:
    """One row for each way to find the range of the activations."""
    agreements = list(
        dict.fromkeys(
            one.measurement.name
            for t in tried
            for one in _judged(t.verdict)
            if one.measurement.better == "higher"
        )
    )
    rows = [
        [
            one.calibration,
            *(_found(one, name) for name in agreements),
            _largest_error(one),
            f"{one.weight_bytes_after:,}",
            _said(one),
        ]
        for one in tried
    ]
    return "\n".join(_table(["activations", *agreements, "largest error", "weight bytes", "gate"], rows))


def _section(one: Tried) -> Iterator[str]:
    title = (
        one.policy if one.taken in ("", one.policy) else f"{one.policy}, which took {one.taken or 'nothing'}"
    )
    yield f"## {title}"
    yield ""
    if one.refusal:
        yield f"Refused: {one.refusal}."
        return
    yield from _table(
        ["layer", "kind", "group", "precision", "bytes before", "bytes after"],
        [
            [
                layer.name,
                layer.kind,
                layer.group or "-",
                layer.precision + (f" ({layer.reason})" if layer.reason else ""),
                f"{layer.bytes_before:,}",
                f"{layer.bytes_after:,}",
            ]
            for layer in one.layers
        ],
    )
    yield ""
    yield f"Weights, counted: {one.weight_bytes_before:,} -> {one.weight_bytes_after:,} bytes ({_change(one)})."
    if one.peak_bytes is not None:
        yield (
            f"Peak, measured apart: {one.peak_bytes:,} bytes beyond what was in use, by a golden call of "
            f"{one.peak_rows} rows."
        )
    yield from (f"Note: {note}." for note in one.notes)
    if one.why:
        yield f"Why: {one.why}"
    if one.verdict is None:
        yield "Gate: this is the baseline." if one.passed else "Gate: not judged."
        return
    yield f"Gate: {one.verdict.summary}."
    yield ""
    yield from _table(
        ["metric", "value", "limit", "outcome"],
        [
            [
                judged.measurement.name,
                f"{judged.measurement.value:.4g}",
                "" if judged.limit is None else f"{judged.limit:g}",
                judged.outcome,
            ]
            for judged in one.verdict.judged
        ],
    )


def _summary(tried: Sequence[Tried]) -> list[str]:
    return _table(
        ["policy", "weight bytes", "against before", "peak bytes", "gate"],
        [
            [
                one.policy + (f" = {one.taken}" if one.taken not in ("", one.policy) else ""),
                f"{one.weight_bytes_after:,}" if not one.refusal else "-",
                _change(one) if not one.refusal else "-",
                f"{one.peak_bytes:,}" if one.peak_bytes is not None else "-",
                _said(one),
            ]
            for one in tried
        ],
    )


def _said(one: Tried) -> str:
    if one.refusal:
        return f"refused: {one.refusal}"
    if one.verdict is None:
        return "baseline" if one.passed else "not judged"
    failed = [j.measurement.name for j in one.verdict.judged if j.outcome == "failed"]
    return "passed" if one.passed else f"failed: {', '.join(failed) or one.verdict.summary}"


def _change(one: Tried) -> str:
    if not one.weight_bytes_before:
        return "no weights"
    return f"{100 * (one.weight_bytes_after / one.weight_bytes_before - 1):+.1f} %"


def _judged(verdict: Verdict | None) -> Sequence[Judged]:
    return verdict.judged if verdict else ()


def _found(one: Tried, name: str) -> str:
    return next(
        (f"{j.measurement.value:.4f}" for j in _judged(one.verdict) if j.measurement.name == name), "-"
    )


def _largest_error(one: Tried) -> str:
    errors = [j.measurement for j in _judged(one.verdict) if j.measurement.better == "lower"]
    if not errors:
        return "-"
    worst = max(errors, key=lambda error: error.value)
    return f"{worst.value:.4f} ({worst.name})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, *rows]
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
