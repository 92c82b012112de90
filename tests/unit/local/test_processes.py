"""Background programs: none is left, none of somebody else's is ended, and a dead one is reported in its own words."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from atheria_local import processes
from atheria_local.errors import LocalError

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()",
]


def test_a_stopped_program_is_gone_and_its_record_says_so(tmp_path: Path) -> None:
    started = processes.start("sleeper", FOREVER, logs=tmp_path, records=tmp_path)
    assert processes.recorded(tmp_path) == {"sleeper": started}
    assert started.is_alive()
    processes.stop([started], grace_seconds=10)
    assert not started.is_alive()
    assert not processes.recorded(tmp_path)["sleeper"].is_alive()


def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    started = processes.start("deaf", STUBBORN, logs=tmp_path)
    processes.wait_until(
        "the handler", lambda: processes.last_line(tmp_path / "deaf.log") == "deaf", timeout_seconds=20
    )
    processes.stop([started], grace_seconds=0.2)
    assert not started.is_alive()


def test_a_successor_with_the_same_pid_is_not_ours(tmp_path: Path) -> None:
    started = processes.start("sleeper", FOREVER, logs=tmp_path)
    successor = replace(started, started_jiffies=started.started_jiffies - 1)
    processes.stop([successor], grace_seconds=1)
    assert started.is_alive()
    processes.stop([started], grace_seconds=10)


def test_waiting_for_a_program_that_ended_fails_at_once_with_its_last_words(tmp_path: Path) -> None:
    started = processes.start(
        "short", [sys.executable, "-c", "print('no key in the ignition')"], logs=tmp_path
    )
    with pytest.raises(LocalError, match="short ended: no key in the ignition"):
        processes.wait_until("the start", lambda: False, timeout_seconds=60, needs=[started])


def test_waiting_too_long_names_the_log(tmp_path: Path) -> None:
    started = processes.start("sleeper", FOREVER, logs=tmp_path)
    with pytest.raises(LocalError, match=r"the start did not happen within 0 s: see .*sleeper.log"):
        processes.wait_until("the start", lambda: False, timeout_seconds=0, needs=[started])
    processes.stop([started], grace_seconds=10)


def test_a_half_written_record_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "etcd.json").write_text('{"name": "et')
    assert processes.recorded(tmp_path) == {}


def test_the_shell_gives_a_failing_programs_words(tmp_path: Path) -> None:
    from atheria_local.shell import run

    with pytest.raises(LocalError, match="failed with 3: out of paper"):
        run([sys.executable, "-c", "import sys; print('out of paper', file=sys.stderr); sys.exit(3)"])
    with pytest.raises(LocalError, match="frobnicate is not installed"):
        run(["frobnicate"])
    with pytest.raises(LocalError, match="took longer than 1 s"):
        run(FOREVER, timeout_seconds=1)
    assert run([sys.executable, "-c", "print('x')"]) == "x\n"
