"""From figures to Markdown; pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from atheria_server.core.cache_error_budget import CacheDrift
from atheria_server.core.cache_precision import CacheSettings
from bench.attention.caches import CacheFigures
from bench.attention.case import CaseFigures

Cases = Mapping[tuple[str, int], Sequence[CaseFigures]]
"""By kernel and tokens: a process each."""
KERNELS = ("standard", "flash")
_MIB = 2**20


def attention_table(cases: Cases) -> str:
    """Medians (smallest - largest) of the processes; ratios are of medians."""
    lines = [
        "| tokens | standard, ms | flash, ms | speed-up | standard, extra MiB | flash, extra MiB | memory ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for tokens in sorted({tokens for _, tokens in cases}):
        milliseconds, mebibytes = (
            {kernel: [read(one) for one in cases[kernel, tokens]] for kernel in KERNELS}
            for read in (lambda one: one.seconds * 1e3, lambda one: one.extra_bytes / _MIB)
        )
        cells = [
            *(_spread(milliseconds[kernel], 1) for kernel in KERNELS),
            f"{_ratio(milliseconds):.1f} x",
            *(_spread(mebibytes[kernel], 1) for kernel in KERNELS),
            f"{_ratio(mebibytes):.0f} x",
        ]
        lines.append(f"| {tokens} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def memory_ratio(cases: Cases, tokens: int) -> float:
    """Extra memory of standard over that of flash, medians."""
    return _ratio({kernel: [one.extra_bytes for one in cases[kernel, tokens]] for kernel in KERNELS})


def bytes_table(figures: Sequence[CacheFigures]) -> str:
    """A row for each base, precision and window, a column for each length."""
    lengths = sorted({one.tokens for one in figures})
    lines = [
        "| base, precision, window | "
        + " | ".join(f"{tokens}" for tokens in lengths)
        + " | ms a layer, longest |",
        "|---|" + "---|" * (len(lengths) + 1),
    ]
    rows: dict[tuple[str, CacheSettings], dict[int, CacheFigures]] = {}
    for one in figures:
        rows.setdefault((one.base, one.settings), {})[one.tokens] = one
    for (base, settings), by_length in rows.items():
        name = f"{base}, {settings.precision}" + (
            "" if settings.precision == "full" else f", {settings.recent_window}"
        )
        cells = [f"{one.allocated_bytes:,} ({one.ratio:.2f} x)" for _, one in sorted(by_length.items())]
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {by_length[lengths[-1]].step_seconds * 1e3:.2f} |"
        )
    return "\n".join(lines)


def drift_table(drifts: Sequence[tuple[CacheSettings, CacheDrift]]) -> str:
    """A row for each setting."""
    lines = [
        "| precision | window, group | positions | likeliest word stays | divergence, nats |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {settings.precision} | {settings.recent_window}, {settings.group_tokens} | {drift.positions} "
        f"| {drift.agreement:.2%} | {drift.divergence:.1e} |"
        for settings, drift in drifts
    ]
    return "\n".join(lines)


def _ratio(by_kernel: Mapping[str, Sequence[float]]) -> float:
    standard, flash = (statistics.median(by_kernel[kernel]) for kernel in KERNELS)
    return standard / flash if flash else float("inf")


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"
