"""The processors that a container may use, from either version of cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atheria_server.engine.resources import (
    processor_count,
    thread_environment,
    visible_devices,
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000", None),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("1000000000 100000", None),
        ("nonsense", None),
    ],
)
def test_the_quota_bounds_the_processors(tmp_path: Path, content: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert processor_count(tmp_path) == (expected or len(os.sched_getaffinity(0)))


def test_the_quota_of_the_first_version_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert processor_count(tmp_path) == 1


def test_no_cgroup_means_all_processors(tmp_path: Path) -> None:
    assert processor_count(tmp_path) == len(os.sched_getaffinity(0))


def test_a_person_who_sets_the_threads_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    environment = thread_environment(3)
    assert environment["OMP_NUM_THREADS"] == "7"
    assert environment["MKL_NUM_THREADS"] == "3"


def test_each_gpu_of_the_container_is_a_device(tmp_path: Path) -> None:
    assert visible_devices(tmp_path) == ["cpu"]
    for name in ("nvidia0", "nvidia3", "nvidia-uvm", "nvidiactl"):
        (tmp_path / name).touch()
    assert visible_devices(tmp_path) == ["cuda:0", "cuda:1"]


def test_the_bound_of_open_files_is_raised_to_what_is_allowed() -> None:
    code = (
        "import resource; from atheria_server.engine.resources import allow_open_files;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300));"
        "print(allow_open_files(), allow_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["300", "300", "300", "300"]
