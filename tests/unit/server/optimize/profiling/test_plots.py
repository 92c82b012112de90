"""Plots: SVG files that are the same for the same numbers, and a sentence where they cannot be drawn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from atheria_server.core.batch_time import fit_batch_time
from atheria_server.core.economics import Change, Setup, waterfall
from atheria_server.optimize.profiling import plots

POINTS = [(1, 0.001), (2, 0.0015), (4, 0.0025)]
FALL = waterfall(Setup(usd_per_hour=2.5, busy_seconds=0.002), [Change(name="price", usd_per_hour=0.5)])


def test_equal_numbers_give_equal_small_files(tmp_path: Path):
    for name in ("a.svg", "b.svg"):
        plots.plot_batch_time(tmp_path / "t" / name, POINTS, fit_batch_time(POINTS), "m on cpu")
        plots.plot_waterfall(tmp_path / "w" / name, FALL, "cpu")
    for folder, words in (("t", "rows in the batch"), ("w", "5.0 times cheaper")):
        first, second = ((tmp_path / folder / name).read_bytes() for name in ("a.svg", "b.svg"))
        assert first == second
        assert len(first) < 100_000
        assert words in first.decode()


def test_without_matplotlib_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        plots.PlotError, match=r"matplotlib is not installed; pip install 'atheria\[report\]'"
    ):
        plots.plot_waterfall(tmp_path / "w.svg", FALL, "cpu")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(plots.PlotError, match=r"file/w.svg cannot be written"):
        plots.plot_waterfall(tmp_path / "file" / "w.svg", FALL, "cpu")
