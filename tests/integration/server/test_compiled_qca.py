"""The built-in model under a compiler: the same physics, and no call that torch would have to compile for.

Functions are traced and guarded by torch as always, but run by its own kernels, so that no C++ is compiled here: when torch
compiles anew is decided before. What is really compiled is tested in `test_compile_cache`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from atheria_contract.optimization import CompileConfig
from atheria_server.core.row_buckets import row_buckets
from atheria_server.engine.hooks import compute_described
from atheria_server.models.contract import WarmupCall
from atheria_server.models.qca import reference
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.settings import parse_settings
from atheria_server.models.qca.weights import load_law
from atheria_server.optimize.compiling import BucketCompiler
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.row_padding import cut, padded
from atheria_server.optimize.warm_up import warm

pytestmark = pytest.mark.timeout(300)

BUCKETS = row_buckets((), 4)
SIDE = 8
CALLS = 10_000
LAWS = {"kerr": {"law": "kerr"}, "nca": {}, "unet": {"law": "unet", "hidden": 4}, "euler": {"law": "euler"}}


def compiled(
    parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[LoadedModel, BucketCompiler]:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    loaded = load_model("builtin://qca", parameters)
    compiler = BucketCompiler(CompileConfig(mode="default"), "cpu")
    loaded.api.compile_with(compiler)
    return loaded, compiler


def call(seeds: Sequence[int], **parameters: Any) -> WarmupCall:
    return WarmupCall(
        inputs={"seed": np.array(seeds, np.int64)}, parameters={"height": SIDE, "width": SIDE, **parameters}
    )


@pytest.mark.parametrize("law", LAWS)
def test_a_compiled_law_follows_the_float64_reference_and_the_rows_of_a_batch_follow_it_alone(
    law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, compiler = compiled(LAWS[law], monkeypatch)
    asked = call([3, 4, 5], steps=7)
    state = initial_state("vacuum_ripple", [3, 4, 5], 8, SIDE, SIDE).numpy()
    exact = reference.evolve(state, load_law(parse_settings(LAWS[law])), 7)
    found = loaded.compute(asked)["state"]
    assert (1 - reference.fidelity(exact, found)).max() <= 1e-6
    assert np.abs(np.square(found).sum((1, 2, 3)) / (SIDE * SIDE) - 1).max() <= 1e-5
    # Four steps and three times one; seven times one.
    assert compiler.statistics().graphs == (1 if law == "unet" else 2)


def test_ten_thousand_mixed_calls_compile_nothing_and_none_runs_eagerly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, compiler = compiled({"law": "kerr"}, monkeypatch)
    shapes = [(16, SIDE, SIDE), (16, SIDE, 2 * SIDE)]
    times = warm(loaded, shapes, BUCKETS, clock=lambda: 0.0)
    assert len(times) == len(shapes) * len(BUCKETS)
    compiler.freeze()
    chance = random.Random(5)  # noqa: S311 - the same calls each time
    batches = [
        padded(loaded.batch(call(range(rows), steps=steps, width=width)), BUCKETS)
        for rows in range(1, BUCKETS[-1] + 1)
        for steps in (1, 2, 4, 5)
        for width in (SIDE, 2 * SIDE)
    ]
    # Only the steps: what is made around them is never compiled.
    advance = loaded.api.advance
    states = [torch.ones(batch.rows, 16, SIDE, int(batch.parameters["width"])) for batch in batches]
    with torch.inference_mode():
        states = [state.clone() for state in states]
        steps = [int(batch.parameters["steps"]) for batch in batches]
        # Long walks are calls of the same graphs.
        for index in chance.choices(range(len(batches)), [1 / count**2 for count in steps], k=CALLS):
            advance(states[index], steps[index])
    for batch in batches:
        loaded.api.predict(batch)
    found = compiler.statistics()
    assert found.graphs == 2 * len(shapes) * len(BUCKETS)
    assert (found.compilations_in_service, found.eager_fallbacks, found.recompiles) == (0, 0, 0)


def test_a_shape_that_was_not_warmed_up_is_computed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, compiler = compiled({"law": "kerr"}, monkeypatch)
    warm(loaded, [(16, SIDE, SIDE)], (1,), clock=lambda: 0.0)
    compiler.freeze()
    loaded.compute(call([1], width=2 * SIDE, steps=1))
    found = compiler.statistics()
    assert (found.compilations_in_service, found.eager_fallbacks) == (0, 1)


def test_rows_with_noise_and_streams_need_no_graph_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, compiler = compiled({}, monkeypatch)
    eager = load_model("builtin://qca", {})
    warm(loaded, [(16, SIDE, SIDE)], (2,), clock=lambda: 0.0)
    compiler.freeze()
    for asked in (call([1, 2], steps=5, noise=0.1), call([1, 2], steps=6, every=5)):
        mine = list(loaded.api.stream_frames(loaded.batch(asked)))
        theirs = list(eager.api.stream_frames(eager.batch(asked)))
        assert [frame.parameters for frame in mine] == [frame.parameters for frame in theirs]
        for a, b in zip(mine, theirs, strict=True):
            assert (1 - reference.fidelity(a.outputs["state"], b.outputs["state"])).max() <= 1e-6
    found = compiler.statistics()
    assert (found.eager_fallbacks, found.recompiles, found.compilations_in_service) == (0, 0, 0)


def test_a_padded_batch_answers_as_the_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, _ = compiled({"law": "kerr"}, monkeypatch)
    batch = loaded.batch(call([7, 8, 9], steps=4))
    full = padded(batch, BUCKETS)
    assert full.rows == 4
    outputs = cut(compute_described(loaded.api, full), 3)
    alone = compute_described(loaded.api, batch)
    for name, value in alone.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5)


def test_setting_up_again_forgets_the_compiled_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, compiler = compiled({"law": "kerr"}, monkeypatch)
    loaded.api.setup("cpu")
    loaded.compute(call([1], steps=1))
    assert compiler.statistics().graphs == 0
