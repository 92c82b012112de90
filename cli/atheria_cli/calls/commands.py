"""`atheria infer` and `atheria stream`: one call, or the frames of one, over the gateway. Called by `__main__`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from atheria_cli.calls.answers import TEXT_OUTPUT, answer_table, as_json, check_file, save, text_of
from atheria_cli.calls.client import Answer
from atheria_cli.calls.frames import frame_of
from atheria_cli.calls.gateway import Destination
from atheria_cli.calls.inputs import Array
from atheria_cli.calls.movie import check_movie, save_movie
from atheria_cli.calls.request import CallOptions, prepared
from atheria_cli.console import print_line
from atheria_cli.errors import CommandError
from atheria_cli.kubectl import KubectlCommand
from atheria_cli.options import Output
from atheria_cli.picture import terminal

FRAMES_AT_MOST: Final = 4096
"""Kept for a movie."""
AWAKE_SECONDS: Final = 1.0
"""A model that is there says what it takes in less."""


def run_infer(
    cluster: KubectlCommand,
    destination: Destination,
    options: CallOptions,
    output: Output,
    file: Path | None,
    console: Console,
) -> None:
    """One call; its answer printed, and saved where `file` names one. Raises CommandError."""
    if file:
        check_file(file)
    with prepared(cluster, destination, options) as request:
        began = time.monotonic()
        answer = request.infer()
        seconds = time.monotonic() - began
    if file:
        save(file, answer.outputs, answer.parameters)
    if output is Output.JSON:
        told = {"seconds": seconds, "waited_seconds": request.waited_seconds}
        console.print_json(json.dumps({**as_json(answer.outputs, answer.parameters), **told}))
        return
    rest = dict(answer.outputs)
    if (text := text_of(answer.outputs)) is not None:
        print_line(console, text)
        del rest[TEXT_OUTPUT]
    console.print(answer_table(rest, answer.parameters))
    saved = f"; saved as {file}" if file else ""
    console.print(
        f"answered in {1000 * seconds:.1f} ms (measured){waited_words(request.waited_seconds)}{saved}"
    )


def waited_words(seconds: float) -> str:
    """What a person waited before the call itself; empty where the model was there."""
    return f", after {seconds:.1f} s until the model was awake (measured)" if seconds >= AWAKE_SECONDS else ""


def run_stream(
    cluster: KubectlCommand,
    destination: Destination,
    options: CallOptions,
    output: Output,
    file: Path | None,
    fps: float,
    console: Console,
) -> None:
    """Frames as they come: drawn in the terminal, texts as text, a line each anywhere else; a movie in `file`. Raises CommandError."""
    if file:
        check_movie(file)
    kept: list[Array] = []
    began = time.monotonic()
    count = 0
    with prepared(cluster, destination, options) as request, _Screen(console, output) as screen:
        for answer in request.stream():
            count += 1
            frame = frame_of(answer.outputs)
            if file and frame is not None and len(kept) < FRAMES_AT_MOST:
                kept.append(frame)
            screen.show(count, answer, frame)
    seconds = time.monotonic() - began
    if file:
        if not kept:
            raise CommandError(
                f"no frame could be drawn in {file}: no output is a field [H, W] or a picture; name one with --want"
            )
        with _bar(console, output) as bar:
            task = bar.add_task(f"saving {file}", total=len(kept))
            save_movie(file, kept, fps, lambda done: bar.update(task, completed=done))
    if output is Output.TABLE:
        screen.end()
        saved = f"; {len(kept)} of them saved as {file}" if file else ""
        answers = "1 answer" if count == 1 else f"{count} answers"
        console.print(f"{answers} in {seconds:.2f} s (measured){saved}")


class _Screen:
    """Draws fields in place on a terminal, appends texts, and prints a line for each answer elsewhere."""

    def __init__(self, console: Console, output: Output) -> None:
        self._console = console
        self._output = output
        self._live: Live | None = None
        self._writes = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def end(self) -> None:
        """Of the last line of a text."""
        if self._writes:
            self._console.print()

    def show(self, number: int, answer: Answer, frame: Array | None) -> None:
        """One answer."""
        if self._output is Output.JSON:
            print_line(self._console, json.dumps(as_json(answer.outputs, answer.parameters)))
        elif (text := text_of(answer.outputs)) is not None:
            self._writes = True
            print_line(self._console, text, end="")
        elif frame is not None and self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            drawing = terminal(
                frame,
                float(frame.min()),
                float(frame.max()),
                width=self._console.width // 2,
                colour=self._console.color_system is not None,
            )
            self._live.update(Text.assemble(f"answer {number} {_words(answer)}\n", drawing), refresh=True)
        else:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in answer.outputs.items())
            print_line(self._console, f"answer {number} {_words(answer)}: {shapes}")


def _bar(console: Console, output: Output) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or output is Output.JSON,
    )


def _words(answer: Answer) -> str:
    return " ".join(f"{name}={value}" for name, value in answer.parameters.items())
