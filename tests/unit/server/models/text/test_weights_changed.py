"""Texts behind a change of weights, such as the quality gate's, are those of a model that had these weights from the start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from atheria_contract.optimization import PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_server.engine.phases import no_progress
from atheria_server.models.contract import Frame, WarmupCall
from atheria_server.models.text.api import TextApi
from atheria_server.optimize.loaded import LoadedModel, load_model
from atheria_server.optimize.variant import Variant

SOURCE = "builtin://sceneline"


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(**parameters: Any) -> LoadedModel:
    return load_model(SOURCE, {"threads": 1, **parameters})


def with_the_weights_of(changed: LoadedModel) -> LoadedModel:
    """Another API, which begins with what the changed one's weights have become."""
    api = TextApi(changed.api.origin, changed.api.settings)
    api._loaded = changed.api.loaded
    api._start()
    return LoadedModel(api=api, device="cpu")


def call(seed: int = 0) -> WarmupCall:
    picture = np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3), np.uint8)
    return WarmupCall(
        inputs={"image": picture}, parameters={"max_new_tokens": 8, "ignore_end": True, "logprobs": True}
    )


def served(loaded: LoadedModel) -> Frame:
    """As a caller's, not as a command's."""
    frames: Any = loaded.api.stream_frames(loaded.batch(call()))
    while loaded.api.has_work:
        loaded.api.step()
    frame: Frame = next(frames)
    return frame


def change(loaded: LoadedModel) -> None:
    """In place, so that shapes and dtypes stay."""
    with torch.no_grad():
        for network in loaded.api.modules().values():
            for parameter in network.parameters():
                parameter.mul_(1.25)


def test_a_served_text_uses_nothing_that_older_weights_left_in_the_cache() -> None:
    changed = model(kv_precision="int8")
    served(changed)
    assert served(changed).parameters["reused_tokens"] == 64
    change(changed)
    changed.api.weights_changed()
    found, expected = served(changed), served(with_the_weights_of(changed))
    assert found.parameters["reused_tokens"] == 0
    for name in ("tokens", "logprobs"):
        np.testing.assert_array_equal(found.outputs[name], expected.outputs[name])


def test_what_a_compressed_cache_changes_is_measured_anew_for_new_weights() -> None:
    changed = model(kv_precision="int8", kv_recent_window=16)
    before = changed.api.cache_report()["divergence"]
    assert before > 0
    change(changed)
    changed.api.weights_changed()
    found = changed.api.cache_report()["divergence"]
    assert found == with_the_weights_of(changed).api.cache_report()["divergence"] != before


def test_the_gates_answers_of_quantised_weights_are_those_of_a_model_that_never_was_exact() -> None:
    config = ServingConfig(name="lines", source=SOURCE, precision=PrecisionConfig(policy="int8"))
    loaded = model()
    variant = Variant(
        loaded, config, requests=(), reload=lambda: loaded.api.setup("cpu"), progress=no_progress
    )
    calls = [call(seed) for seed in range(3)]
    exact = loaded.run(calls)
    variant.narrow()
    found, expected = loaded.run(calls), with_the_weights_of(loaded).run(calls)
    for mine, theirs in zip(found, expected, strict=True):
        for name in ("tokens", "logprobs"):
            np.testing.assert_array_equal(mine[name], theirs[name])
    assert any((mine["logprobs"] != was["logprobs"]).any() for mine, was in zip(found, exact, strict=True))


def test_a_commands_text_computes_all_of_its_prompt() -> None:
    """Observers of the layers, such as those that calibrate, see it."""
    loaded = model()
    read = 0

    def observe(_: Any, given: tuple[Any, ...]) -> None:
        nonlocal read
        read += given[0].shape[1]

    network = loaded.api.loaded.network
    blocks = next(found for found in network.modules() if isinstance(found, torch.nn.ModuleList))
    with_hook = next(found for found in blocks[0].modules() if isinstance(found, torch.nn.Linear))
    with_hook.register_forward_pre_hook(observe)
    loaded.compute(call())
    once, read = read, 0
    loaded.compute(call())
    assert read == once > 64
