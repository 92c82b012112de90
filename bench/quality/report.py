"""From the measurements of all rows to Markdown; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from atheria_contract.optimization import QualityConfig
from atheria_server.core.quality import Measurement
from atheria_server.core.quality_gate import judge, profile_of
from bench.quality.rows import Published, Row

Measured = Sequence[tuple[Row, Sequence[Measurement]]]

LEGEND: Final = (
    "Each cell: ours (published). Errors are |mean of the variant - mean of the baseline| over the baseline's mean, "
    "in percent, with our standard error over the seeds."
)
_PROFILES: Final = ("strict", "default")
_SIGNED_STEPS: Final = (8, 16, 32)


def tables(measured: Measured) -> str:
    """The published table with ours beside it, the verdicts, what differs, and where errors cancel."""
    lines = [
        LEGEND,
        "",
        "| weights | F_8 | F_16 | F_32 | C4 at 16, % | contrast C1 at 16, % | largest error at any step, % | strict | default |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row, {one.name: one for one in found}) for row, found in measured]
    lines += ["", "Differences of the verdicts from the published ones:", ""]
    lines += list(_differences(measured)) or ["None."]
    lines += [
        "",
        "The signed error of C4, percent, by what is kept as nf4: errors of layers may cancel at one step, and not at another.",
        "",
        "| weights | " + " | ".join(f"{steps} steps" for steps in _SIGNED_STEPS) + " |",
        "|---|" + "---|" * len(_SIGNED_STEPS),
    ]
    for row, found in measured:
        if row.title.startswith("nf4"):
            by_name = {one.name: one for one in found}
            cells = [_signed(by_name[f"C4_{steps}"]) for steps in _SIGNED_STEPS]
            lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _row(row: Row, found: Mapping[str, Measurement]) -> str:
    published = row.published
    worst = max((one for one in found.values() if one.better == "lower"), key=lambda one: one.value)
    cells = [
        _beside(f"{found[name].value:.4f}", None if published is None else f"{number:.4f}")
        for name, number in zip(("F_8", "F_16", "F_32"), _fidelities(published), strict=True)
    ]
    cells += [
        _beside(_error(found[name]), None if published is None else f"{number:.2f}")
        for name, number in zip(("C4_16", "C1_16"), _errors(published), strict=True)
    ]
    cells.append(f"{worst.name} {_error(worst)}")
    for profile in _PROFILES:
        theirs = None if published is None else getattr(published, profile)
        cells.append(
            _beside(_word(_passes(found.values(), profile)), None if theirs is None else _word(theirs))
        )
    return f"| {row.title} | " + " | ".join(cells) + " |"


def _differences(measured: Measured) -> Sequence[str]:
    found = []
    for row, measurements in measured:
        for profile in _PROFILES:
            ours = judge(measurements, profile_of(QualityConfig(profile=profile)))
            if row.published is not None and ours.passed != getattr(row.published, profile):
                why = "; ".join(text.partition(":")[0] for text in ours.failures) or "every metric is within"
                found.append(
                    f"- {row.title}, {profile}: {_word(ours.passed)} here, {_word(not ours.passed)} there. {why}."
                )
    return found


def _passes(measurements: Sequence[Measurement], profile: str) -> bool:
    return judge(tuple(measurements), profile_of(QualityConfig(profile=profile))).passed


def _fidelities(published: Published | None) -> Sequence[float]:
    return (0.0,) * 3 if published is None else (published.f_8, published.f_16, published.f_32)


def _errors(published: Published | None) -> Sequence[float]:
    return (0.0,) * 2 if published is None else (published.c4, published.contrast)


def _beside(ours: str, theirs: str | None) -> str:
    return ours if theirs is None else f"{ours} ({theirs})"


def _error(one: Measurement) -> str:
    return f"{100 * one.value:.2f} ± {100 * one.standard_error:.2f}"


def _signed(one: Measurement) -> str:
    assert one.baseline is not None
    assert one.variant is not None
    return f"{'-' if one.variant < one.baseline else '+'}{_error(one)}"


def _word(passed: bool) -> str:
    return "pass" if passed else "fail"
