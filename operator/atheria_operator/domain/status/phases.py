"""The phases of a model's life, and how a starting pod's own words become one of them.

A pod that is not ready answers `names.PATH_READY` with 503 and a sentence such as `the model is not loaded yet: compiling 3 of
8 (16x8x8)`. `runtime.start_watcher` asks, `status.summary` shows. The answer comes from a process that runs the user's code, so
it is matched and bounded, never trusted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Phase(StrEnum):
    """What a model, or its first pod, does now; in the order in which a start passes them."""

    CREATING = "Creating"
    WAITING_FOR_NODE = "WaitingForNode"
    WAITING_FOR_GPU = "WaitingForGPU"
    PULLING = "Pulling"
    DOWNLOADING = "Downloading"
    LOADING = "Loading"
    COMPILING = "Compiling"
    WARMING = "Warming"
    SERVING = "Serving"
    DRAINING = "Draining"
    SCALED_TO_ZERO = "ScaledToZero"
    ASLEEP = "Asleep"
    FAILED = "Failed"


STARTING: Final = (
    Phase.WAITING_FOR_NODE,
    Phase.WAITING_FOR_GPU,
    Phase.PULLING,
    Phase.DOWNLOADING,
    Phase.LOADING,
    Phase.COMPILING,
    Phase.WARMING,
)
"""Phases of a pod's start, in order; each has its seconds in the history."""
_LARGEST: Final = 2**53
_LONGEST_TEXT: Final = 512
_LONGEST_DETAIL: Final = 128
_SENTENCE: Final = re.compile(
    r"the model is not loaded yet: (?P<name>[a-z ]+?)(?: (?P<done>\d{1,16}) of (?P<total>\d{1,16}))?"
    r"(?: \((?P<detail>.*)\))?",
    re.DOTALL,
)
_PHASE_OF_WORD: Final[Mapping[str, Phase]] = {
    "downloading": Phase.DOWNLOADING,
    "compiling": Phase.COMPILING,
    # For another pod that compiles the same.
    "waiting": Phase.COMPILING,
    "warming up": Phase.WARMING,
    "computing sample requests": Phase.WARMING,
    "running hooks": Phase.WARMING,
    "judging": Phase.WARMING,
    "comparing": Phase.WARMING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a starting server says that it does."""

    phase: Phase
    done: int = 0
    total: int = 0
    """Parts (bytes for Downloading) that are done, of how many; 0 = not counted."""
    detail: str = ""
    """The server's own word and its detail, e.g. `quantizing (hierarchy)`; empty where the phase says it all."""

    @property
    def words(self) -> str:
        """For people: `Compiling 3 of 8 (16x8x8)`."""
        part = ""
        if self.total and self.phase is Phase.DOWNLOADING:
            part = f" {_megabytes(self.done)} of {_megabytes(self.total)} MB"
        elif self.total:
            part = f" {self.done} of {self.total}"
        return f"{self.phase.value}{part}" + (f" ({self.detail})" if self.detail else "")


def read_step(answer: Any) -> Step | None:
    """The step in a pod's answer about its readiness; None for anything else, such as a pod that is ready or drains."""
    if not isinstance(answer, Mapping) or answer.get("ready") is not False:
        return None
    reason = answer.get("reason")
    found = _SENTENCE.fullmatch(reason[:_LONGEST_TEXT]) if isinstance(reason, str) else None
    if found is None:
        return None
    name, detail = found["name"].strip(), found["detail"] or ""
    phase = _PHASE_OF_WORD.get(name, Phase.LOADING)
    if name != phase.value.lower():
        # `reading the weights` is Loading, but says more.
        detail = f"{name}: {detail}" if detail else name
    done, total = int(found["done"] or 0), int(found["total"] or 0)
    return Step(
        phase=phase, done=min(done, _LARGEST), total=min(total, _LARGEST), detail=detail[:_LONGEST_DETAIL]
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}"
