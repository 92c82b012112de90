"""A starting pod's own words become a phase, and words that nobody knows become nothing worse than Loading."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain.pods import Told, phase_of
from atheria_operator.domain.status.phases import Phase, Step, read_step
from atheria_server.engine.phases import Phase as ServerPhase


def answer(text: str) -> dict[str, Any]:
    return {"ready": False, "reason": f"the model is not loaded yet: {text}"}


@pytest.mark.parametrize(
    ("told", "phase", "words"),
    [
        (ServerPhase(name="loading"), Phase.LOADING, "Loading"),
        (
            ServerPhase(name="compiling", done=3, total=8, detail="16x8x8"),
            Phase.COMPILING,
            "Compiling 3 of 8 (16x8x8)",
        ),
        (
            ServerPhase(name="downloading", done=12_000_000, total=48_000_000, detail="hf://a/b"),
            Phase.DOWNLOADING,
            "Downloading 12.0 of 48.0 MB (hf://a/b)",
        ),
        (ServerPhase(name="quantizing", detail="nf4"), Phase.LOADING, "Loading (quantizing: nf4)"),
        (
            ServerPhase(name="computing sample requests", done=0, total=2),
            Phase.WARMING,
            "Warming 0 of 2 (computing sample requests)",
        ),
        (ServerPhase(name="waiting", detail="for pod a"), Phase.COMPILING, "Compiling (waiting: for pod a)"),
    ],
    ids=["loading", "compiling", "downloading", "quantizing", "samples", "waiting for the cache"],
)
def test_what_the_server_says_is_understood(told: ServerPhase, phase: Phase, words: str) -> None:
    step = read_step(answer(told.text))
    assert step is not None
    assert (step.phase, step.words) == (phase, words)


@pytest.mark.parametrize(
    "given_answer",
    [
        None,
        [],
        {"ready": True},
        {"ready": False},
        {"ready": False, "reason": 7},
        {"ready": False, "reason": "the server is shutting down"},
        {"ready": False, "reason": "the model is not loaded yet: 😈"},
    ],
)
def test_what_is_no_step_is_none(given_answer: Any) -> None:
    assert read_step(given_answer) is None


@given(st.text(max_size=3000))
def test_no_text_makes_a_step_that_a_status_could_not_hold(text: str) -> None:
    step = read_step(answer(text))
    if step is not None:
        assert step.phase in Phase
        assert len(step.detail) <= 128
        assert max(step.done, step.total) < 2**63
        json.dumps(step.words)


def test_a_pod_waits_for_a_gpu_only_if_it_asks_for_one() -> None:
    def pod(limits: dict[str, str]) -> Any:
        container = {"name": "model", "resources": {"limits": limits}}
        return {"metadata": {"name": "p"}, "spec": {"containers": [container]}, "status": {}}

    assert phase_of(pod({"memory": "1Gi"})) is Phase.WAITING_FOR_NODE
    assert phase_of(pod({"memory": "1Gi", "nvidia.com/gpu": "1"})) is Phase.WAITING_FOR_GPU


def test_what_a_pod_told_counts_only_while_it_runs() -> None:
    told = Told(step=Step(phase=Phase.COMPILING))
    scheduled: Any = {
        "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "t"}]},
    }
    assert phase_of(scheduled, told) is Phase.PULLING
