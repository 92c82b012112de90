"""What a computation takes is measured, not guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from atheria_server.engine.device_memory import free_bytes, measure

MIB = 1 << 20


def test_the_peak_of_a_computation_is_what_it_touched_and_gave_back() -> None:
    def compute(mebibytes: int) -> int:
        return int(np.ones(mebibytes * MIB, np.uint8).sum())

    small, small_footprint = measure("cpu", 1, lambda: compute(1))
    large, large_footprint = measure("cpu", 64, lambda: compute(200))
    assert (small, large) == (MIB, 200 * MIB)
    assert 180 * MIB <= large_footprint.peak_bytes <= 260 * MIB
    assert small_footprint.peak_bytes <= 60 * MIB
    assert large_footprint.rows == 64
    assert large_footprint.free_bytes > 0


def test_free_memory_is_that_of_the_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:   50 kB\n")
    assert free_bytes(tmp_path, meminfo) == 50 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_bytes(tmp_path, meminfo) == 50 * 1024
    (tmp_path / "memory.max").write_text("31000\n")
    assert free_bytes(tmp_path, meminfo) == 30_000
    # Read files that the kernel lets go of first are not in use.
    (tmp_path / "memory.stat").write_text("anon 500\nfile 900\ninactive_file 400\nactive_file 500\n")
    assert free_bytes(tmp_path, meminfo) == 30_400


def test_the_older_cgroups_are_read_too(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable:   50 kB\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("3000\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("1000\n")
    assert free_bytes(tmp_path, meminfo) == 2000
    (tmp_path / "memory/memory.stat").write_text("inactive_file 7\ntotal_inactive_file 300\n")
    assert free_bytes(tmp_path, meminfo) == 2300
