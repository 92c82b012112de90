"""The overview of the benchmarks and its plots are what the benches' pages say, and reach each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import generate_benchmarks
from tools.benchmarks import figures
from tools.benchmarks.figures import Spread, numbers, spread
from tools.benchmarks.overview import BENCHES, render
from tools.benchmarks.plots import PLOTS, text


def test_every_page_of_a_bench_is_in_the_overview_and_every_plot_is_shown() -> None:
    pages = {path.name for path in figures.PAGES.glob("*.md")} - {"README.md"}
    assert {bench.page for bench in BENCHES} == pages
    assert {f"benchmarks/{name}" for name in PLOTS} <= {bench.picture for bench in BENCHES}
    there = {path.name for path in generate_benchmarks.IMAGES.iterdir()}
    assert there == set(PLOTS)


def test_no_plot_is_larger_than_a_small_picture() -> None:
    for path in generate_benchmarks.IMAGES.iterdir():
        assert path.stat().st_size < 40_000, path.name


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pages that may be changed, which the overview reads."""
    shutil.copytree(figures.PAGES, tmp_path / "pages")
    monkeypatch.setattr(figures, "PAGES", tmp_path / "pages")
    return tmp_path / "pages"


def test_another_figure_on_a_page_is_another_overview_and_another_plot(pages: Path) -> None:
    before, plot = render(BENCHES), text()
    page = pages / "text.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| 6.6 × |", "| 7.1 × |"), encoding="utf-8")
    after = render(BENCHES)
    assert [line for line in after.splitlines() if line not in before.splitlines()] == [
        line.replace(" 6.6 ", " 7.1 ") for line in before.splitlines() if " 6.6 " in line
    ]
    assert after != before
    assert text() != plot


def test_a_page_that_lacks_what_is_quoted_is_named(pages: Path) -> None:
    page = pages / "text.md"
    page.write_text("# Nothing\n", encoding="utf-8")
    with pytest.raises(LookupError, match=r"docs/benchmarks/text\.md: no table begins with"):
        render(BENCHES)


@pytest.mark.parametrize(
    ("cell", "value", "least", "most"),
    [
        ("0.97 (0.90 - 0.99)", 0.97, 0.90, 0.99),
        ("+0.42 (+0.39 - +0.43)", 0.42, 0.39, 0.43),
        ("**+0.45** (+0.33 to +0.62)", 0.45, 0.33, 0.62),
        ("-0.41 (-0.43 - -0.15)", -0.41, -0.43, -0.15),
        ("10.13 ± 1.88", 10.13, 8.25, 12.01),
        ("1,186", 1186.0, 1186.0, 1186.0),
    ],
)
def test_a_cell_is_read_with_its_range(cell: str, value: float, least: float, most: float) -> None:
    found = spread(cell)
    assert (found.value, found.least, found.most) == pytest.approx((value, least, most))
    assert found == Spread(value=found.value, least=found.least, most=found.most)


def test_a_cell_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="'undecided' has no number"):
        numbers("undecided")
