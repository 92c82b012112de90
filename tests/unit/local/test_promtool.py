"""Where promtool is looked for, and that a machine without apt is left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atheria_local import paths, promtool


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    return tmp_path


def no_programs(*_: object, **__: object) -> None:
    return None


def test_the_one_in_path_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert promtool.find() == "/usr/bin/promtool"


def test_then_the_one_in_the_cache_if_it_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", no_programs)
    promtool.cached().parent.mkdir(parents=True)
    promtool.cached().write_bytes(b"")
    assert promtool.find() == ""
    promtool.cached().chmod(0o755)
    assert promtool.find() == str(promtool.cached())


def test_without_apt_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(shutil, "which", no_programs)
    promtool.ensure()
    assert list(cache.iterdir()) == []
