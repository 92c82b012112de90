"""The quality benchmark's report says what passed, and where and why that differs from what was published."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from atheria_contract.optimization import PrecisionConfig
from atheria_server.core.quality import Measurement
from bench.quality.measure import rounded_to_int4
from bench.quality.report import tables
from bench.quality.rows import Published, Row

STEPS = (1, 8, 16, 32)


def row(*, passes: bool) -> Row:
    return Row(
        title="nf4, all",
        config=PrecisionConfig(policy="nf4"),
        published=Published(f_8=1.0, f_16=1.0, f_32=0.5, c4=1.0, contrast=2.0, strict=passes, default=passes),
    )


def measured(c4_at_32: float) -> Sequence[Measurement]:
    found = [Measurement(name=f"F_{steps}", value=0.995, better="higher") for steps in STEPS]
    for steps in STEPS:
        value = c4_at_32 if steps == 32 else 0.01
        found.append(
            Measurement(
                name=f"C4_{steps}", value=value, better="lower", baseline=0.2, variant=0.2 - value / 5
            )
        )
        found.append(Measurement(name=f"C1_{steps}", value=0.0, better="lower", baseline=0.5, variant=0.5))
    return found


def test_a_row_shows_ours_beside_the_published_figures_and_the_largest_error() -> None:
    text = tables([(row(passes=True), measured(0.015))])
    assert (
        "| nf4, all | 0.9950 (1.0000) | 0.9950 (1.0000) | 0.9950 (0.5000) | 1.00 ± 0.00 (1.00) | 0.00 ± 0.00 (2.00) | "
        "C4_32 1.50 ± 0.00 | pass (pass) | pass (pass) |"
    ) in text
    assert "\nNone.\n" in text
    assert "| nf4, all | -1.00 ± 0.00 | -1.00 ± 0.00 | -1.50 ± 0.00 |" in text


def test_a_verdict_that_differs_is_told_with_its_reason() -> None:
    text = tables([(row(passes=True), measured(0.1))])
    assert "- nf4, all, strict: fail here, pass there. C4_32 is off by 10 % (0.2 -> 0.18" in text
    assert "- nf4, all, default: fail here, pass there. C4_32" in text
    assert "- nf4, all, strict: pass here, fail there. every metric is within." in tables(
        [(row(passes=False), measured(0.0))]
    )


def test_int4_keeps_the_largest_entry_of_each_group_and_sixteen_levels() -> None:
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    rounded = rounded_to_int4(weight)
    groups = weight.view(-1, 32)
    largest = groups.abs().argmax(1, keepdim=True)
    assert torch.allclose(rounded.view(-1, 32).gather(1, largest), groups.gather(1, largest))
    assert all(len(set(group.tolist())) <= 16 for group in rounded.view(-1, 32))
    assert float((rounded - weight).norm() / weight.norm()) < 0.15
    assert torch.equal(rounded_to_int4(torch.zeros(1, 32)), torch.zeros(1, 32))
