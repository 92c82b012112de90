"""`python -m bench.live_page --runs 5`: frames per second and seconds to the first frame of the live page, in a real Chromium.

Each law is a stack of its own (`atheria_local.standalone`: Envoy, activator, autoscaler, server); both are there at once and
take turns, so that other work on the machine meets both alike. What is idle takes no processor.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import yaml

from bench.live_page.stack import Stack, chromium, chromium_program

LAWS: Final = ("kerr", "nca")
SIDES: Final = (64, 128, 256)
FRAMES_PER_SECOND_BAR: Final = 30.0
FIRST_FRAME_BAR_SECONDS: Final = 1.5
BAR_SIDE: Final = 128
SETTLE_FRAMES: Final = 10
MEASURE_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 120.0
_MODEL: Final = Path(__file__).with_name("model.yaml")
_SCRIPT: Final = "() => [Number(document.getElementById('frame').textContent), performance.now()]"
_FIRST: Final = "() => performance.getEntriesByName('first-frame')[0].startTime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load of the page."""

    frames_per_second: float
    """Drawn, over MEASURE_SECONDS."""
    first_frame_seconds: float
    """From the begin of the navigation to the first picture on the canvas; the model is warm, the browser's cache empty."""


def measure(browser: Any, url: str, side: int) -> Run:
    """One run in a browser context of its own. Raises TimeoutError when no frames come."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    try:
        tab = context.new_page()
        tab.goto(f"{url}#side={side}&seed=3")
        end = time.monotonic() + WAIT_SECONDS
        while tab.evaluate(_SCRIPT)[0] < SETTLE_FRAMES:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"waited {WAIT_SECONDS:g} s for frames: {tab.locator('#status').inner_text()}"
                )
            tab.wait_for_timeout(50)
        before, began = tab.evaluate(_SCRIPT)
        tab.wait_for_timeout(1000 * MEASURE_SECONDS)
        after, ended = tab.evaluate(_SCRIPT)
        return Run(
            frames_per_second=1000 * (after - before) / (ended - began),
            first_frame_seconds=tab.evaluate(_FIRST) / 1000,
        )
    finally:
        context.close()


def table(found: Mapping[tuple[str, int], Sequence[Run]]) -> str:
    """Markdown, medians with the smallest and the largest."""
    lines = ["| law, cells | frames per second | first frame, seconds |", "|---|---|---|"]
    for (law, side), runs in found.items():
        rates = _spread([run.frames_per_second for run in runs], 1)
        firsts = _spread([run.first_frame_seconds for run in runs], 2)
        lines.append(f"| {law}, {side} × {side} | {rates} | {firsts} |")
    return "\n".join(lines)


def main() -> int:
    """The command; status 1 where a bar is missed, 2 without a Chromium."""
    parser = argparse.ArgumentParser(prog="python -m bench.live_page", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each law and size, interleaved (default 5)")
    options = parser.parse_args()
    program = chromium_program()
    if program is None:
        sys.stderr.write("no chromium on PATH: `atheria-local prerequisites --install` installs it\n")
        return 2
    before = os.getloadavg()[0]
    found: dict[tuple[str, int], list[Run]] = {(law, side): [] for law in LAWS for side in SIDES}
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="live-page-")))
        urls = {law: parts.enter_context(Stack(_manifest(folder, law))).url for law in LAWS}
        browser = parts.enter_context(chromium(program))
        version = browser.version
        for number in range(1, options.runs + 1):
            for (law, side), runs in found.items():
                runs.append(measure(browser, urls[law], side))
                sys.stderr.write(f"{number} of {options.runs}: {law} {side}: {runs[-1]}\n")
    print(
        f"Chromium {version}, {os.cpu_count()} processors, load average {before:.1f} before and {os.getloadavg()[0]:.1f} at the "
        f"end, {options.runs} runs each\n\n{table(found)}"
    )
    judged = found[LAWS[0], BAR_SIDE]
    is_met = (
        median(run.frames_per_second for run in judged) >= FRAMES_PER_SECOND_BAR
        and median(run.first_frame_seconds for run in judged) <= FIRST_FRAME_BAR_SECONDS
    )
    return 0 if is_met else 1


def _manifest(folder: Path, law: str) -> Path:
    model = yaml.safe_load(_MODEL.read_text(encoding="utf-8"))
    model["spec"]["model"]["parameters"]["law"] = law
    file = folder / f"{law}.yaml"
    file.write_text(yaml.safe_dump(model), encoding="utf-8")
    return file


def _spread(values: Sequence[float], digits: int) -> str:
    middle, low, high = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({low} - {high})"


if __name__ == "__main__":
    sys.exit(main())
