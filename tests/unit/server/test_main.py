"""The process's last words."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_server import __main__ as program


def test_a_failure_is_one_line_on_stderr_and_in_the_termination_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "termination-log"
    log.write_text("what was there before and is longer than the reason" * 10)
    monkeypatch.setattr(program, "TERMINATION_LOG", log)
    assert program.main(["serve"]) == 2
    line = "atheria-server: error: no model: give SOURCE (such as builtin://qca) or --config FILE\n"
    assert capsys.readouterr().err == line
    assert log.read_text() == line


def test_without_a_termination_log_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "TERMINATION_LOG", tmp_path / "none")
    assert program.main(["serve"]) == 2
    assert not (tmp_path / "none").exists()
