"""The tables of the attention bench say what the figures are."""

from __future__ import annotations

from atheria_server.core.cache_error_budget import CacheDrift
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from bench.attention.caches import CacheFigures
from bench.attention.case import CaseFigures
from bench.attention.report import attention_table, bytes_table, drift_table, memory_ratio

MIB = 2**20
CASES = {
    ("standard", 256): [
        CaseFigures(seconds=0.004, extra_bytes=10 * MIB),
        CaseFigures(seconds=0.006, extra_bytes=12 * MIB),
        CaseFigures(seconds=0.005, extra_bytes=11 * MIB),
    ],
    ("flash", 256): [CaseFigures(seconds=0.001, extra_bytes=2 * MIB)],
}
INT4 = CacheSettings(precision=CachePrecision.INT4)


def test_kernels_are_compared_by_medians() -> None:
    row = attention_table(CASES).splitlines()[-1]
    assert (
        row
        == "| 256 | 5.0 (4.0 - 6.0) | 1.0 (1.0 - 1.0) | 5.0 x | 11.0 (10.0 - 12.0) | 2.0 (2.0 - 2.0) | 6 x |"
    )
    assert memory_ratio(CASES, 256) == 5.5


def test_a_cache_has_a_row_for_each_setting_and_base() -> None:
    figures = [
        CacheFigures(
            settings=settings,
            base=base,
            tokens=tokens,
            allocated_bytes=tokens * 1000 // divisor,
            full_bytes=tokens * 1000,
            step_seconds=0.002,
        )
        for base in ("float32", "bfloat16")
        for settings, divisor in ((CacheSettings(), 1), (INT4, 4))
        for tokens in (256, 512)
    ]
    lines = bytes_table(figures).splitlines()
    assert len(lines) == 2 + 4
    assert lines[3] == "| float32, int4, 128 | 64,000 (4.00 x) | 128,000 (4.00 x) | 2.00 |"
    assert lines[4].startswith("| bfloat16, full | 256,000 (1.00 x)")


def test_drift_is_told_with_its_positions() -> None:
    table = drift_table([(INT4, CacheDrift(positions=400, agreeing=398, divergence=1.5e-4))])
    assert table.splitlines()[-1] == "| int4 | 128, 32 | 400 | 99.50% | 1.5e-04 |"
