"""One process has a lease at a time; it renews it while it lives, and nobody else's."""

from __future__ import annotations

import os
import time
from pathlib import Path

from atheria_server.optimize.compiling.lease import Lease, LeaseWatch


def eventually_changes(path: Path, before: str) -> None:
    end = time.monotonic() + 10
    while path.read_text() == before:
        assert time.monotonic() < end, "waited 10 s for the lease to be renewed"
        time.sleep(0.005)


def test_only_one_has_it_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    first = Lease.acquire(path)
    assert first is not None
    assert Lease.acquire(path) is None
    assert f" {os.getpid()} " in path.read_text()
    first.release()
    assert not path.exists()
    second = Lease.acquire(path)
    assert second is not None
    second.release()


def test_a_living_lease_changes_and_is_never_free(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    lease = Lease.acquire(path, stale_seconds=0.06)
    assert lease is not None
    now = 0.0
    watch = LeaseWatch(path, lambda: now, stale_seconds=1)
    for _ in range(5):
        assert not watch.is_free()
        # From what the watch has seen: it may have been renewed since.
        eventually_changes(path, watch._seen)
        now += 10
    lease.release()
    assert watch.is_free()


def test_a_lease_that_does_not_change_is_removed_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    path.write_text("dead 1 00000001\n")
    now = 0.0
    watch = LeaseWatch(path, lambda: now, stale_seconds=60)
    assert not watch.is_free()
    now = 59.0
    assert not watch.is_free()
    now = 60.0
    assert watch.is_free()
    assert not path.exists()


def test_a_lease_that_was_taken_over_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    lease = Lease.acquire(path, stale_seconds=0.06)
    assert lease is not None
    path.unlink()
    path.write_text("another 2 00000001\n")
    lease._renewer.join(10)
    assert not lease._renewer.is_alive()
    lease.release()
    assert path.read_text() == "another 2 00000001\n"
