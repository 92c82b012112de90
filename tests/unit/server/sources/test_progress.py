"""Who hears of a download, and how often."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atheria_server.sources import download
from atheria_server.sources.limits import DownloadLimits
from atheria_server.sources.progress import LOG_SECONDS, LoggedProgress, Transfer, listening
from atheria_server.sources.resolve import resolve

DATA = os.urandom(3 << 20)


class Clock:
    """Each look at it is `step_seconds` later."""

    def __init__(self, step_seconds: float) -> None:
        self.now = 0.0
        self.step_seconds = step_seconds

    def monotonic(self) -> float:
        self.now += self.step_seconds
        return self.now


def test_bytes_are_told_as_they_grow_to_who_listens(
    file_server: Any, remote: Any, tmp_path: Path, limits: DownloadLimits
) -> None:
    file_server.files["/m.pt2"] = remote(DATA)
    heard: list[Transfer] = []
    with listening(heard.append):
        resolve(
            f"{file_server.url}/m.pt2", cache_directory=tmp_path, limits=replace(limits, report_seconds=0)
        )
    counts = [one.done_bytes for one in heard]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert {one.total_bytes for one in heard} == {len(DATA)}
    assert (heard[0].done_bytes, heard[-1].done_bytes, heard[-1].state) == (0, len(DATA), "done")
    resolve(f"{file_server.url}/m.pt2", cache_directory=tmp_path / "other", limits=limits)
    assert len(heard) == len(counts), "told after the block"


def test_reports_are_a_second_apart_also_after_a_pause(
    file_server: Any, remote: Any, tmp_path: Path, limits: DownloadLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(step_seconds=0.1)
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=None))
    heard: list[Transfer] = []

    def told(transfer: Transfer) -> None:
        heard.append(transfer)
        if len(heard) == 2:
            clock.now += 10  # as if no byte had come for that long

    file_server.files["/m.pt2"] = remote(os.urandom(32 << 20))
    resolve(
        f"{file_server.url}/m.pt2",
        cache_directory=tmp_path,
        limits=replace(limits, total_seconds=1e6),
        progress=told,
    )
    seconds = [one.seconds for one in heard if one.state == "downloading"]
    assert len(seconds) > 3
    assert min(later - earlier for earlier, later in pairwise(seconds)) >= 1.0


def test_the_log_has_a_line_for_each_state_and_else_every_few_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "atheria.sources")
    progress = LoggedProgress()
    told = [("waiting", 0.0), ("waiting", 1.0), ("downloading", 0.0)]
    told += [("downloading", n / 2) for n in range(1, int(2 * LOG_SECONDS) + 2)]
    told += [("done", LOG_SECONDS + 1)]
    for state, seconds in told:
        progress(Transfer(source="s", state=state, done_bytes=1, total_bytes=None, seconds=seconds))
    states = [record.getMessage().split()[0].removeprefix("event=source_") for record in caplog.records]
    assert states == ["waiting", "downloading", "downloading", "done"]
