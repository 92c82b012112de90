"""When a cluster that is there is kept, and when it is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_local import cluster, processes


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What `up` does to a cluster whose programs all run."""
    found: list[str] = []
    monkeypatch.setattr(cluster.prerequisites, "check_machine", lambda **_: None)
    monkeypatch.setattr(cluster.programs, "ensure", lambda *_: None)
    monkeypatch.setattr(cluster.programs, "install_for_people", lambda: None)
    monkeypatch.setattr(cluster, "_LOCK", tmp_path / "lock")
    monkeypatch.setattr(cluster, "_is_ours", lambda: True)
    monkeypatch.setattr(cluster, "_not_running", set)
    monkeypatch.setattr(cluster, "_start_anew", lambda: found.append("anew"))
    monkeypatch.setattr(processes, "_POLL_SECONDS", 0.001)
    return found


def test_one_look_at_the_node_that_fails_deletes_no_cluster(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter((False, False, True))
    monkeypatch.setattr(cluster, "_node_is_ready", lambda: next(looks))
    cluster.up()
    assert made == []


def test_a_node_that_stays_away_is_made_anew(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_READY_SECONDS", 0.01)
    monkeypatch.setattr(cluster, "_node_is_ready", lambda: False)
    cluster.up()
    assert made == ["anew"]
