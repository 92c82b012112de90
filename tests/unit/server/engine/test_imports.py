"""Imports without the collector, and the age of the process."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest

from atheria_server.engine.imports import process_age_seconds, uncollected


def test_the_collector_is_off_within_and_on_again_afterwards() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError("no torch here")
    assert gc.isenabled()
    gc.unfreeze()


def test_the_age_counts_from_the_kernels_start_of_the_process(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    ticks = int((time.clock_gettime(time.CLOCK_BOOTTIME) - 60) * 100)
    fields = ["S"] + ["0"] * 18 + [str(ticks)] + ["0"] * 30
    stat.write_text(f"42 (a) strange (name) {' '.join(fields)}\n")
    assert process_age_seconds(stat) == pytest.approx(60, abs=30)
    assert process_age_seconds() > 0


@pytest.mark.parametrize("text", ["", "42 (python) S 1"])
def test_an_age_that_nobody_tells_is_none(tmp_path: Path, text: str) -> None:
    stat = tmp_path / "stat"
    stat.write_text(text)
    assert process_age_seconds(stat) == 0
    assert process_age_seconds(tmp_path / "missing") == 0
