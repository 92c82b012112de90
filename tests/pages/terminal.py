"""A reader's terminal in a copy of the checkout: commands keep the folder and the variables of those before. Used by the tests that run pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from tests.pages.blocks import ROOT, Block

COMMAND_SECONDS: Final = 480.0
"""Of one block."""
BEGIN_SECONDS: Final = 120.0
END_SECONDS: Final = 60.0
_OF_THE_TESTS: Final = frozenset({"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKE_TERMOUT", "MAKE_TERMERR"})
"""What a person's shell has not, where `make test` runs the tests."""
_SCRIPT: Final = """
. "$PAGE_STATE"
set -euo pipefail
trap '{ declare -px; printf "cd %q\\n" "$PWD"; } > "$PAGE_STATE.new"; mv "$PAGE_STATE.new" "$PAGE_STATE"' EXIT
"""
_ENDLESS: Final = """
. "$PAGE_STATE"
set -euo pipefail
"""


def checkout(folder: Path) -> Path:
    """A checkout to write into: links to the repository's entries, but the examples are copies, as readers change them."""
    made = folder / "atheria"
    made.mkdir()
    for entry in ROOT.iterdir():
        if entry.name == "examples":
            shutil.copytree(entry, made / entry.name)
        elif entry.name != ".git":
            (made / entry.name).symlink_to(entry)
    return made


class Terminal:
    """Runs blocks in order; what was started until Ctrl-C ends with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / "state.sh"
        own = {name: value for name, value in os.environ.items() if name not in _OF_THE_TESTS}
        # That of the local cluster, there or not: without one kubectl would take a person's.
        kubeconfig = folder / "atheria" / ".local" / "kubeconfig"
        self._environment = {
            **own,
            "KUBECONFIG": str(kubeconfig),
            "PAGE_STATE": str(self._state),
            "OMP_NUM_THREADS": "1",
        }
        self._endless: list[tuple[Block, subprocess.Popen[bytes], Path]] = []
        self._seconds: list[tuple[int, float]] = []

    def __enter__(self) -> Self:
        self._state.write_text(f"cd {self._folder / 'atheria'}\n", encoding="utf-8")
        checkout(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        for _block, process, _file in self._endless:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, block: Block) -> None:
        """Until it ends, or an endless one until it does its work. Raises AssertionError with what it printed."""
        began = time.monotonic()
        if block.is_endless:
            self._start(block)
        else:
            self._run(block)
        self._seconds.append((block.line, time.monotonic() - began))

    def told(self) -> str:
        """How long all and each of the blocks took."""
        each = ", ".join(f"line {line}: {seconds:.1f} s" for line, seconds in self._seconds)
        return f"{sum(seconds for _, seconds in self._seconds):.1f} s (measured; {each})"

    def interrupt(self) -> None:
        """Ctrl-C in the other terminals; what they printed must have been what their page shows."""
        while self._endless:
            block, process, file = self._endless.pop()
            assert process.poll() is None, f"{block.where} ended by itself: {_read(file)}"
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise AssertionError(f"{block.where} runs {END_SECONDS:g} s after Ctrl-C") from error
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _check_words(block, _read(file))

    def _run(self, block: Block) -> None:
        with self._bash(_SCRIPT + block.commands, self._folder / "output") as (process, file):
            try:
                process.wait(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise AssertionError(
                    f"{block.where} runs longer than {COMMAND_SECONDS:g} s: {_read(file)}"
                ) from error
            finally:
                if process.returncode is None:  # also where the test's own limit or Ctrl-C ends the wait
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        said = _read(file)
        assert process.returncode == block.status, (
            f"{block.where} ended with {process.returncode}, not {block.status}:\n{block.commands}\n{said}"
        )
        _check_words(block, said)

    def _start(self, block: Block) -> None:
        file = self._folder / f"output-{len(self._endless)}"
        with self._bash(_ENDLESS + block.commands, file) as (process, _):
            self._endless.append((block, process, file))
        deadline = time.monotonic() + BEGIN_SECONDS
        while block.begins not in _read(file):
            assert process.poll() is None, f"{block.where} ended by itself: {_read(file)}"
            assert time.monotonic() < deadline, (
                f"{block.where} has not printed {block.begins!r}: {_read(file)}"
            )
            time.sleep(0.1)

    @contextlib.contextmanager
    def _bash(self, script: str, file: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        with file.open("wb") as output:
            process: subprocess.Popen[Any] = subprocess.Popen(
                # Ctrl-C is to end it also where the tests were started with the signal ignored, as in the background.
                ["env", "--default-signal=INT", "bash", "-c", script], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=self._environment, cwd=self._folder, start_new_session=True,
            )  # fmt: skip
            yield process, file


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _check_words(block: Block, said: str) -> None:
    flat = " ".join(said.split())
    missing = [word for word in block.shows if " ".join(word.split()) not in flat]
    assert not missing, f"{block.where} does not show {missing}:\n{said}"
