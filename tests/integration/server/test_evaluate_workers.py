"""`evaluate --workers`: real servers with one and two workers, measured in turns and gone afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atheria_server.commands import evaluate
from atheria_server.optimize.evaluation import concurrency
from atheria_server.optimize.evaluation.server_process import ServerProcess, ServerProcessError


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_number_of_workers_answers_in_every_round_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[int, list[int]] = {}

    class Watched(ServerProcess):
        def pause(self) -> None:
            super().pause()
            seen[self._process.pid] = self.workers()

    monkeypatch.setattr(concurrency, "ServerProcess", Watched)
    code = evaluate.main(
        ["builtin://echo", *("--workers", "1,2", "--rounds", "2", "--seconds", "0.2", "--output", "json")]
    )
    assert code == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["workers"]) == ["1", "2"]
    for one in report["workers"].values():
        assert len(one["answers_per_second"]) == 2
        assert min(one["answers_per_second"]) > 0
    assert sorted(len(workers) for workers in seen.values()) == [1, 2]
    assert not [pid for front, workers in seen.items() for pid in (front, *workers) if _alive(pid)]


def test_a_server_that_does_not_start_is_an_error_with_its_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate.main(["builtin://qca", "--set", "weights=/nowhere", "--workers", "1"]) == 1
    assert "/nowhere cannot be read" in capsys.readouterr().err
    with pytest.raises(ServerProcessError, match="not ready within"), ServerProcess("builtin://none", []):
        pass


def test_the_report_tells_what_was_not_measured() -> None:
    found = concurrency.Concurrency(
        source="m",
        throughput={1: (10.0,) * 5, 2: (20.0,) * 5},
        busy={1: (0.5,) * 5, 2: (1.0,) * 5},
        load_average=0.0,
    )
    text = found.markdown()
    assert "| 2 | 20.00 (20.00 - 20.00) | 2.00 (2.00 - 2.00) | 1.00 (1.00 - 1.00) |" in text
    assert "MPS: not measurable here" in text
    assert "CUDA streams" in text
